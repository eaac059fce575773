// The peer on Node: line to envelope bytes with @twurple/chat and JSON.stringify, building the same members.
//
// Started with a file of lines. Commands on stdin, one answer line of JSON each:
//   show                       every line's envelope, as an array of strings (null where it makes none)
//   run MILLISECONDS           works for at least that much CPU time; answers {"lines", "cpu_ns", "bytes"}
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { extractMessageText, parseEmotePositions, parseTwitchMessage } from '@twurple/chat';

const lines = readFileSync(process.argv[2], 'utf8').split('\n').filter((line) => line !== '');
const RECEIVED = Number(process.argv[3]);
const NAMESPACE = Buffer.from(process.argv[4].replaceAll('-', ''), 'hex');
const CHUNK = 256;

function uuid5(name) {
  const hash = createHash('sha1').update(NAMESPACE).update(name).digest();
  hash[6] = (hash[6] & 0x0f) | 0x50;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  const hex = hash.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function badges(tag) {
  const names = [];
  if (tag) {
    for (const badge of tag.split(',')) {
      const name = badge.split('/')[0];
      if (name !== '') names.push(name);
    }
  }
  return names;
}

function reply(message, tags) {
  if (!message.parentMessageId) return null;
  return {
    messageId: message.parentMessageId,
    userId: message.parentMessageUserId ?? '',
    login: message.parentMessageUserName ?? '',
    displayName: message.parentMessageUserDisplayName ?? '',
    text: message.parentMessageText ?? '',
    threadMessageId: message.threadMessageId ?? '',
    threadUserId: message.threadMessageUserId ?? '',
    threadLogin: tags.get('reply-thread-parent-user-login') ?? '',
    threadDisplayName: tags.get('reply-thread-parent-display-name') ?? '',
  };
}

function sharedChat(tags) {
  if (!tags.get('source-room-id') && !tags.get('source-id')) return null;
  return {
    sourceId: tags.get('source-id') ?? '',
    sourceRoomId: tags.get('source-room-id') ?? '',
    sourceBadges: badges(tags.get('source-badges')),
    sourceOnly: tags.get('source-only') === '1',
    sourceNoticeType: tags.get('source-msg-id') ?? '',
  };
}

function envelope(line) {
  const message = parseTwitchMessage(line);
  if (message.command !== 'PRIVMSG') return null;
  const { tags } = message;
  const text = extractMessageText(message.text);
  const user = message.userInfo;
  const id = uuid5(`twitch:${message.id}`);
  const names = badges(tags.get('badges'));
  const emotes = parseEmotePositions(text, message.emoteOffsets).map((emote) => ({
    id: emote.id,
    start: emote.position,
    end: emote.position + emote.length - 1,
    text: emote.name,
  }));
  return {
    v: '1',
    id,
    correlationId: id,
    traceId: id.replaceAll('-', ''),
    timestamp: message.date.toISOString(),
    type: 'external.chat.message.v1',
    source: { platform: 'twitch', channel: message.target.slice(1), channelId: message.channelId },
    user: { id: user.userId, name: user.userName, displayName: user.displayName, profileImageUrl: '', role: '' },
    routingSlip: [],
    finalizationDestination: 'internal.finalizer.v1',
    payload: {
      text,
      messageId: message.id,
      badges: names,
      isMod: user.isMod,
      isSubscriber: tags.get('subscriber') === '1' || names.includes('subscriber') || names.includes('founder'),
      color: user.color ?? '',
      emotes,
      gifs: [],
      isAction: text !== message.text,
      bits: message.bits,
      reply: reply(message, tags),
      sharedChat: sharedChat(tags),
      receivedAt: new Date(RECEIVED).toISOString(),
      raw: { line, tags: Object.fromEntries(tags) },
    },
  };
}

// The main thread's own CPU time in nanoseconds: the collector's helpers are not counted against the peer.
function cpu() {
  return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[0]);
}

let next = 0;
function run(milliseconds) {
  const from = cpu();
  let done = 0;
  let bytes = 0;
  for (;;) {
    for (let count = 0; count < CHUNK; count += 1) {
      bytes += Buffer.from(JSON.stringify(envelope(lines[next]))).length;
      next = (next + 1) % lines.length;
    }
    done += CHUNK;
    const took = cpu() - from;
    if (took >= milliseconds * 1e6) return { lines: done, cpu_ns: took, bytes };
  }
}

function show() {
  return lines.map((line) => {
    try {
      const made = envelope(line);
      return made === null ? null : JSON.stringify(made);
    } catch {
      return null;
    }
  });
}

createInterface({ input: process.stdin }).on('line', (command) => {
  const [verb, argument] = command.split(' ');
  process.stdout.write(`${JSON.stringify(verb === 'show' ? show() : run(Number(argument)))}\n`);
});
