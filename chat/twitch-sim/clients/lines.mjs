// What the tests know of IRC themselves, so that a client's parser is judged by another one.

import { existsSync } from 'node:fs';
import path from 'node:path';

import { Skip } from './harness.mjs';

/** Tags, command, channel and text of a line. */
export function parse(raw) {
  const [, tagText = '', command, channel, text] =
    /^(?:@(\S*) +)?(?::\S+ +)?(\S+)(?: +#(\S+))?(?: +:?(.*))?$/su.exec(raw) ?? [];
  const tags = Object.fromEntries(
    tagText.split(';').filter(Boolean).map((pair) => {
      const at = pair.indexOf('=');
      return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
  const prefix = /(?:^| ):([^! ]+)/u.exec(raw)?.[1];
  const action = /^\u0001ACTION (.*?)\u0001?$/su.exec(text ?? '');
  return { tags, command, channel, text: action ? action[1] : text, isAction: Boolean(action), user: prefix };
}

/** Whether the ledger keeps such a line: chat and what moderators do, but no reply of the protocol. */
export function isChat(raw) {
  const { command, tags } = parse(raw);
  if (command === 'ROOMSTATE') return !('slow' in tags && 'subs-only' in tags);
  return ['PRIVMSG', 'USERNOTICE', 'CLEARCHAT', 'CLEARMSG'].includes(command);
}

/** One line of each kind that a room can see, as Twitch writes them; what each must become is in the tests. */
export const KINDS = [
  '@badge-info=subscriber/9;badges=subscriber/6;color=#1E90FF;display-name=Ann;emotes=25:6-10;first-msg=0;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a01;mod=0;room-id=7;subscriber=1;tmi-sent-ts=1700000000001;turbo=0;user-id=11;user-type= :ann!ann@ann.tmi.twitch.tv PRIVMSG #room :hello Kappa',
  '@badges=;color=;display-name=Bob;emotes=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a02;mod=0;room-id=7;subscriber=0;tmi-sent-ts=1700000000002;user-id=12;user-type= :bob!bob@bob.tmi.twitch.tv PRIVMSG #room :\u0001ACTION waves\u0001',
  '@badges=bits/100;bits=100;color=;display-name=Cid;emotes=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a03;mod=0;room-id=7;subscriber=0;tmi-sent-ts=1700000000003;user-id=13;user-type= :cid!cid@cid.tmi.twitch.tv PRIVMSG #room :cheer100 well played',
  '@badge-info=;badges=;color=;display-name=Dee;emotes=;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a04;login=dee;mod=0;msg-id=sub;msg-param-cumulative-months=1;msg-param-months=0;msg-param-should-share-streak=0;msg-param-sub-plan-name=Room\\sSub;msg-param-sub-plan=1000;room-id=7;subscriber=1;system-msg=Dee\\ssubscribed\\sat\\sTier\\s1.;tmi-sent-ts=1700000000004;user-id=14;user-type= :tmi.twitch.tv USERNOTICE #room',
  '@badge-info=;badges=;color=;display-name=Eve;emotes=;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a05;login=eve;mod=0;msg-id=resub;msg-param-cumulative-months=14;msg-param-months=0;msg-param-should-share-streak=1;msg-param-streak-months=3;msg-param-sub-plan-name=Prime;msg-param-sub-plan=Prime;room-id=7;subscriber=1;system-msg=Eve\\ssubscribed\\swith\\sPrime.;tmi-sent-ts=1700000000005;user-id=15;user-type= :tmi.twitch.tv USERNOTICE #room :fourteen months',
  '@badge-info=;badges=;color=;display-name=Flo;emotes=;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a06;login=flo;mod=0;msg-id=subgift;msg-param-gift-months=1;msg-param-months=2;msg-param-recipient-display-name=Gus;msg-param-recipient-id=17;msg-param-recipient-user-name=gus;msg-param-sender-count=5;msg-param-sub-plan-name=Room\\sSub;msg-param-sub-plan=2000;room-id=7;subscriber=1;system-msg=Flo\\sgifted\\sa\\sTier\\s2\\ssub\\sto\\sGus!;tmi-sent-ts=1700000000006;user-id=16;user-type= :tmi.twitch.tv USERNOTICE #room',
  '@badge-info=;badges=;color=;display-name=Flo;emotes=;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a07;login=flo;mod=0;msg-id=submysterygift;msg-param-mass-gift-count=5;msg-param-sender-count=10;msg-param-sub-plan=1000;room-id=7;subscriber=1;system-msg=Flo\\sis\\sgifting\\s5\\sTier\\s1\\sSubs!;tmi-sent-ts=1700000000007;user-id=16;user-type= :tmi.twitch.tv USERNOTICE #room',
  '@badge-info=;badges=;color=;display-name=Hal;emotes=;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a08;login=hal;mod=0;msg-id=raid;msg-param-displayName=Hal;msg-param-login=hal;msg-param-viewerCount=42;room-id=7;subscriber=0;system-msg=42\\sraiders\\sfrom\\sHal\\shave\\sjoined!;tmi-sent-ts=1700000000008;user-id=18;user-type= :tmi.twitch.tv USERNOTICE #room',
  '@badge-info=;badges=moderator/1;color=;display-name=Ida;emotes=;flags=;id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a09;login=ida;mod=1;msg-id=announcement;msg-param-color=PURPLE;room-id=7;subscriber=0;system-msg=;tmi-sent-ts=1700000000009;user-id=19;user-type=mod :tmi.twitch.tv USERNOTICE #room :be kind',
  '@ban-duration=600;room-id=7;target-user-id=12;tmi-sent-ts=1700000000010 :tmi.twitch.tv CLEARCHAT #room :bob',
  '@room-id=7;target-user-id=13;tmi-sent-ts=1700000000011 :tmi.twitch.tv CLEARCHAT #room :cid',
  '@room-id=7;tmi-sent-ts=1700000000012 :tmi.twitch.tv CLEARCHAT #room',
  '@login=ann;room-id=;target-msg-id=5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a01;tmi-sent-ts=1700000000013 :tmi.twitch.tv CLEARMSG #room :hello Kappa',
  '@room-id=7;slow=30 :tmi.twitch.tv ROOMSTATE #room',
  '@room-id=7;slow=0 :tmi.twitch.tv ROOMSTATE #room',
  '@followers-only=10;room-id=7 :tmi.twitch.tv ROOMSTATE #room',
  '@followers-only=-1;room-id=7 :tmi.twitch.tv ROOMSTATE #room',
  '@emote-only=1;room-id=7 :tmi.twitch.tv ROOMSTATE #room',
];

/** The captured lines of a busy room, or the reason why they are not here. */
export function captured() {
  const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
  const corpora = process.env.TENURE_CORPORA ?? path.join(here, '../../../../shared/corpora');
  const file = path.join(corpora, 'chatterino2/recentmessages-nymn.lines.txt');
  if (!existsSync(file)) throw new Skip('captured chat is absent; name its folder in TENURE_CORPORA');
  return file;
}
