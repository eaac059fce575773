// tmi.js, unmodified, over WebSocket.

import assert from 'node:assert/strict';

import tmi from 'tmi.js';

import { sameList, sleep, test, until } from './harness.mjs';
import { KINDS, captured, isChat, parse } from './lines.mjs';
import { Sim, fileOf } from './sim.mjs';

const NAME = 'tmi.js';

/** A client of the simulator; what it heard is kept in `heard`, every line as it came. */
function client(scope, sim, options = {}) {
  const client = new tmi.Client({
    connection: { server: sim.host, port: sim.port, secure: false, ...options.connection },
    options: { skipUpdatingEmotesets: true, joinInterval: 300, ...options.options },
    identity: options.identity,
    channels: options.channels ?? [],
    logger: { info() {}, warn() {}, error() {}, setLevel() {} },
  });
  client.heard = [];
  client.on('raw_message', (message) => client.heard.push(message.raw));
  scope.after(async () => {
    client.reconnect = false;
    if (client.readyState() === 'OPEN') await client.disconnect();
  });
  return client;
}

const rooms = (count) => Array.from({ length: count }, (_, at) => `sim_channel_${String(at + 1).padStart(3, '0')}`);
const account = (login, token = 'good') => ({ username: login, password: `oauth:${token}` });
/** The client cuts white space off the end of each message. */
const trimmed = (lines) => lines.map((line) => line.trimEnd());

/** Reads a whole chat in these rooms and compares it with the ledger. */
async function readsAll(scope, sim, channels) {
  const reader = client(scope, sim, { channels });
  const texts = [];
  reader.on('message', (channel, tags, text) => texts.push(`${channel} ${tags.username} ${tags.id} ${text}`));
  reader.on('cheer', (channel, tags, text) => texts.push(`${channel} ${tags.username} ${tags.id} ${text}`));
  await reader.connect();
  await sim.chatOver();
  const [{ id, lines_written: count }] = await sim.connections();
  const written = await sim.writtenTo(id);
  assert.equal(written.length, count);
  await until('the last line', () => reader.heard.filter(isChat).length >= written.length);
  sameList('lines', reader.heard.filter(isChat), trimmed(written));
  const messages = trimmed(written).map(parse).filter(({ command }) => command === 'PRIVMSG');
  const expected = messages.map(({ channel, user, tags, text }) => `#${channel} ${user} ${tags.id} ${text}`);
  sameList('texts', trimmed(texts), trimmed(expected));
  return written;
}

test(NAME, 'reads exactly the lines that it was sent', async (scope) => {
  const sim = await Sim.start(scope, '--channels', '3', '--rate', '500', '--limit', '1500', '--wait-for', '1');
  assert.equal((await readsAll(scope, sim, rooms(3))).length, 1500);
  assert.equal((await sim.connections())[0].transport, 'ws');
});

test(NAME, 'reads fragmented messages', async (scope) => {
  const fault = '{"fault":"split","how":"walking","pause_ms":0}';
  const sim = await Sim.start(scope, '--rate', '200', '--limit', '300', '--wait-for', '1', '--fault', fault);
  assert.equal((await readsAll(scope, sim, rooms(1))).length, 300);
});

test(NAME, 'reads captured chat', async (scope) => {
  const sim = await Sim.start(scope, '--replay', captured(), '--rate', '400', '--wait-for', '1');
  assert.ok((await readsAll(scope, sim, ['nymn'])).length >= 800);
});

test(NAME, 'understands chat, notices, moderation and room states', async (scope) => {
  const sim = await Sim.start(scope, '--replay', fileOf(scope, KINDS), '--rate', '100', '--wait-for', '1');
  const reader = client(scope, sim, { channels: ['room'] });
  const seen = [];
  reader.on('chat', (channel, tags, text) => seen.push(['chat', channel, tags['display-name'], text, tags.emotes]));
  reader.on('action', (channel, tags, text) => seen.push(['action', channel, tags['display-name'], text]));
  reader.on('cheer', (channel, tags, text) => seen.push(['cheer', tags.bits, text]));
  reader.on('subscription', (channel, user, { plan, planName }) => seen.push(['sub', user, plan, planName]));
  reader.on('resub', (channel, user, months, text, tags, { prime }) => seen.push(['resub', user, months, text, prime]));
  reader.on('subgift', (channel, user, months, to, { plan }) => seen.push(['subgift', user, to, plan]));
  reader.on('submysterygift', (channel, user, count) => seen.push(['submysterygift', user, count]));
  reader.on('raided', (channel, user, viewers) => seen.push(['raided', user, viewers]));
  reader.on('usernotice', (id, channel, tags, text) => seen.push(['usernotice', id, text]));
  reader.on('timeout', (channel, user, _, seconds) => seen.push(['timeout', user, seconds]));
  reader.on('ban', (channel, user) => seen.push(['ban', user]));
  reader.on('clearchat', (channel) => seen.push(['clearchat', channel]));
  reader.on('messagedeleted', (channel, user, text, tags) => seen.push(['deleted', user, text, tags['target-msg-id']]));
  reader.on('slowmode', (channel, on, seconds) => seen.push(['slow', on, seconds]));
  reader.on('followersonly', (channel, on, minutes) => seen.push(['followers', on, minutes]));
  reader.on('roomstate', (channel, state) => {
    if ('emote-only' in state && !('slow' in state)) seen.push(['emote-only', state['emote-only']]);
  });
  await reader.connect();
  await until('the last of them', () => seen.at(-1)?.[0] === 'emote-only');
  assert.deepEqual(seen, [
    ['chat', '#room', 'Ann', 'hello Kappa', { 25: ['6-10'] }],
    ['action', '#room', 'Bob', 'waves'],
    ['cheer', '100', 'cheer100 well played'],
    ['sub', 'Dee', '1000', 'Room Sub'],
    ['resub', 'Eve', 3, 'fourteen months', true],
    ['subgift', 'Flo', 'Gus', '2000'],
    ['submysterygift', 'Flo', 5],
    ['raided', 'Hal', 42],
    ['usernotice', 'announcement', 'be kind'],
    ['timeout', 'bob', 600],
    ['ban', 'cid'],
    ['clearchat', '#room'],
    ['deleted', 'ann', 'hello Kappa', '5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a01'],
    ['slow', true, 30],
    ['slow', false, 0],
    ['followers', true, 10],
    ['followers', false, 0],
    ['emote-only', true],
  ]);
});

test(NAME, 'comes back after RECONNECT, after a reset and after a goodbye', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '100', '--channels', '2');
  const reader = client(scope, sim, { channels: rooms(2), connection: { reconnectInterval: 200 } });
  await reader.connect();
  const ends = [
    [{ fault: 'reconnect', grace_ms: 100 }, ['client', 'reconnect']],
    [{ fault: 'cut', how: 'rst' }, ['cut_rst']],
    [{ fault: 'cut', how: 'fin' }, ['cut_fin']],
  ];
  for (const [at, [fault, reasons]] of ends.entries()) {
    await until('both rooms', async () => (await sim.open())[0]?.channels.length === 2);
    const before = reader.heard.length;
    await until('chat', () => reader.heard.length > before + 20);
    await sim.fault(fault);
    await until('the next connection', async () => (await sim.connections()).length === at + 2);
    assert.ok(reasons.includes((await sim.connections())[at].close_reason), (await sim.connections())[at].close_reason);
  }
  await until('both rooms again', async () => (await sim.open())[0]?.channels.length === 2);
  const before = reader.heard.length;
  await until('chat again', () => reader.heard.length > before + 20);
  await fetch(`${sim.http}/stop`, { method: 'POST' });
  await sim.chatOver();
  // Nothing is heard that was not written, and nothing is heard twice.
  const written = new Set(trimmed((await sim.ledger()).map((row) => row.raw)));
  const heard = reader.heard.filter(isChat).map((line) => line.trimEnd());
  assert.equal(new Set(heard).size, heard.length);
  assert.ok(heard.every((line) => written.has(line)));
  const last = (await sim.connections()).at(-1);
  await until('all of the last connection', async () => {
    const all = new Set(reader.heard.map((line) => line.trimEnd()));
    return trimmed(await sim.writtenTo(last.id)).every((line) => all.has(line));
  });
});

test(NAME, 'keeps a connection alive, and pings', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--ping-interval', '1');
  const reader = client(scope, sim, { channels: rooms(1) });
  let pings = 0;
  reader.on('ping', () => { pings += 1; });
  await reader.connect();
  const [latency] = await reader.ping();
  assert.ok(latency >= 0 && latency < 5);
  // The server closes after 10 s without an answer to its first ping.
  await until('two pings answered', () => pings === 2, 25_000);
  assert.equal((await sim.open()).length, 1);
});

test(NAME, 'a wrong token is refused, and it gives up', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--bad-token', 'wrong');
  const sender = client(scope, sim, { identity: account('bot_t1', 'wrong') });
  await assert.rejects(sender.connect(), (reason) => String(reason).includes('Login authentication failed'));
  await until('the end', async () => (await sim.connections())[0].close_reason !== null);
  const [{ close_reason: reason, nick }] = await sim.connections();
  assert.ok(['login_failed', 'client'].includes(reason), reason);
  assert.equal(nick, 'bot_t1');
  assert.ok(sender.heard.some((line) => line.endsWith('NOTICE * :Login authentication failed')));
});

test(NAME, 'an account without a token is refused', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--strict-login');
  const sender = client(scope, sim, { identity: { username: 'bot_t2' } });
  await assert.rejects(sender.connect(), (reason) => String(reason).includes('Improperly formatted auth'));
  await until('the end', async () => (await sim.open()).length === 0);
});

test(NAME, 'logs in and is heard by another', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--moderator', 'bot_t3');
  const [channel] = rooms(1);
  const sender = client(scope, sim, { identity: account('bot_t3'), channels: [channel] });
  const reader = client(scope, sim, { channels: [channel] });
  const heard = [];
  reader.on('message', (where, tags, text) => heard.push([where, tags.username, tags.mod, text]));
  await Promise.all([sender.connect(), reader.connect()]);
  assert.ok(sender.globaluserstate['user-id'], 'GLOBALUSERSTATE came');
  await until('both in the room', async () => (await sim.open()).every(({ channels }) => channels.length === 1));
  await sender.say(channel, 'hello there');
  await sender.action(channel, 'bows');
  await until('both messages', () => heard.length === 2);
  assert.deepEqual(heard, [
    [`#${channel}`, 'bot_t3', true, 'hello there'],
    [`#${channel}`, 'bot_t3', true, 'bows'],
  ]);
  const [said] = await sim.ledger();
  assert.equal(said.origin, 'client');
  assert.deepEqual(said.connections, [(await sim.connections()).find(({ nick }) => nick !== 'bot_t3').id]);
  assert.ok(sender.heard.some((line) => line.includes(' USERSTATE #') && line.includes(`;id=${said.id};`)));
});

test(NAME, 'the same message within 30 s is refused', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0');
  const [channel] = rooms(1);
  const sender = client(scope, sim, { identity: account('bot_t4'), channels: [channel] });
  const notices = [];
  sender.on('notice', (where, id, text) => notices.push([where, id, text]));
  await sender.connect();
  await until('the room', async () => (await sim.open())[0].channels.length === 1);
  await sender.say(channel, 'once');
  await sleep(1_100);
  await sender.say(channel, 'once');
  await until('the notice', () => notices.length === 1);
  assert.deepEqual(notices[0].slice(0, 2), [`#${channel}`, 'msg_duplicate']);
  assert.match(notices[0][2], /identical to the previous one you sent, less than 30 seconds ago/u);
  assert.equal((await sim.ledger()).length, 1);
});

test(NAME, 'more than one message a second in a room is dropped', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0');
  const [channel] = rooms(1);
  const sender = client(scope, sim, { identity: account('bot_t5'), channels: [channel] });
  await sender.connect();
  await until('the room', async () => (await sim.open())[0].channels.length === 1);
  for (const text of ['a', 'b', 'c']) await sender.say(channel, text);
  await sleep(1_100);
  await sender.say(channel, 'd');
  await until('the last', async () => (await sim.ledger()).length >= 2);
  assert.deepEqual((await sim.ledger()).map((row) => parse(row.raw).text), ['a', 'd']);
});

test(NAME, 'the 21st message in 30 s silences the account', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '23');
  const channels = rooms(23);
  const sender = client(scope, sim, { identity: account('bot_t6') });
  await sender.connect();
  // A room need not be joined to be written to.
  for (const channel of channels) await sender.say(channel, 'hello');
  await until('20 messages', async () => (await sim.ledger()).length >= 20);
  await sender.ping();
  await sender.say(channels[0], 'still muted');
  await sender.ping();
  const ledger = await sim.ledger();
  assert.equal(ledger.length, 20);
  assert.equal((await sim.open()).length, 1, 'muted, not closed');
});

test(NAME, 'JOINs beyond 20 in 10 s end the connection', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '25');
  const reader = client(scope, sim, { channels: rooms(25), connection: { reconnect: false } });
  // 300 ms is the shortest pace of this client: 33 in 10 s.
  await reader.connect();
  await until('the cut', async () => (await sim.connections())[0].close_reason !== null);
  assert.equal((await sim.connections())[0].close_reason, 'join_budget');
  const joined = reader.heard.filter((line) => line.includes(' ROOMSTATE '));
  assert.equal(joined.length, 20);
});

test(NAME, 'its own pace of JOINs is never cut', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '4');
  const reader = client(scope, sim, { channels: rooms(4), options: { joinInterval: 2_000 } });
  const at = [];
  reader.on('roomstate', () => at.push(performance.now()));
  await reader.connect();
  await until('all rooms', async () => (await sim.open())[0]?.channels.length === 4);
  assert.ok(at.slice(1).every((time, nth) => time - at[nth] > 1_500), 'one JOIN each 2 s');
});

test(NAME, 'an account is in at most 100 rooms', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '103', '--join-budget', '0');
  const reader = client(scope, sim, { identity: account('bot_t7') });
  await reader.connect();
  const outcomes = [];
  for (const channel of rooms(103)) {
    outcomes.push(await reader.join(channel).then(() => 'joined', (reason) => reason));
  }
  assert.deepEqual(outcomes.slice(0, 100), Array.from({ length: 100 }, () => 'joined'));
  assert.deepEqual(outcomes.slice(100), Array.from({ length: 3 }, () => 'No response from Twitch.'));
  assert.equal((await sim.open())[0].channels.length, 100);
});

test(NAME, 'rooms that are suspended or not there', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--suspended', 'gone');
  const reader = client(scope, sim);
  await reader.connect();
  await assert.rejects(reader.join('gone'), (reason) => reason === 'msg_channel_suspended');
  await assert.rejects(reader.join('nowhere'), (reason) => reason === 'No response from Twitch.');
});
