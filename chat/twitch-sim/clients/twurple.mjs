// @twurple/chat, unmodified, over WebSocket and, where its fixed port can be had, over TCP.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import tls from 'node:tls';

import { StaticAuthProvider } from '@twurple/auth';
import { ChatClient } from '@twurple/chat';

import { Skip, sameList, sleep, test, until } from './harness.mjs';
import { KINDS, captured, isChat, parse } from './lines.mjs';
import { Sim, fileOf } from './sim.mjs';

const NAME = 'twurple';
/** The port of its plain TCP, which cannot be chosen. */
const TCP_PORT = 6667;

// It asks the authorisation server whose a token is: `LOGIN-WORD` is a token of LOGIN.
const validator = createServer((request, answer) => {
  const token = request.headers.authorization?.replace(/^OAuth /u, '') ?? '';
  const login = token.split('-')[0];
  const scopes = ['chat:read', 'chat:edit'];
  answer.setHeader('content-type', 'application/json');
  answer.end(JSON.stringify({ client_id: 'client', login, scopes, user_id: '1', expires_in: 10_000 }));
});
await new Promise((resolve) => validator.listen(0, '127.0.0.1', resolve));
validator.unref();
process.env.TWURPLE_MOCK_API_PORT = String(validator.address().port);

const websocket = (connect) => ({ ssl: false, connectionOptions: { wsOptions: { createConnection: connect } } });

/** A client of the simulator; what it heard is kept in `heard`, every line as it came. */
function client(scope, sim, options = {}) {
  const over = options.over ?? websocket(() => net.connect(sim.port, sim.host));
  const authProvider = options.token && new StaticAuthProvider('client', options.token, ['chat:read', 'chat:edit']);
  const client = new ChatClient({
    logger: { custom: { log() {} } },
    channels: options.channels,
    botLevel: options.botLevel,
    isAlwaysMod: options.isAlwaysMod,
    rejoinChannelsOnReconnect: options.rejoin,
    authProvider,
    ...over,
  });
  client.heard = [];
  client.irc.onAnyMessage((message) => client.heard.push(message.rawLine));
  scope.after(() => client.quit());
  return client;
}

const rooms = (count) => Array.from({ length: count }, (_, at) => `sim_channel_${String(at + 1).padStart(3, '0')}`);

/** Connects, and waits for the welcome. */
async function connected(client) {
  const welcome = new Promise((resolve) => { client.onAuthenticationSuccess(resolve); });
  client.connect();
  await welcome;
}

/** Reads a whole chat in these rooms and compares it with the ledger. */
async function readsAll(scope, sim, channels, over) {
  const reader = client(scope, sim, { channels, over });
  const texts = [];
  const said = (channel, user, text, message) => texts.push(`${channel} ${user} ${message.id} ${text}`);
  reader.onMessage(said);
  reader.onAction(said);
  await connected(reader);
  await sim.chatOver();
  const [{ id, lines_written: count }] = await sim.connections();
  const written = await sim.writtenTo(id);
  assert.equal(written.length, count);
  await until('the last line', () => reader.heard.filter(isChat).length >= written.length);
  sameList('lines', reader.heard.filter(isChat), written);
  const messages = written.map(parse).filter(({ command }) => command === 'PRIVMSG');
  const expected = messages.map(({ channel, user, tags, text }) => `${channel} ${user} ${tags.id} ${text}`);
  sameList('texts', texts, expected);
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

test(NAME, 'reads over wss under the authority of the simulator', async (scope) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tenure-clients-'));
  scope.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'ca.pem');
  const chat = ['--rate', '200', '--limit', '200', '--wait-for', '1'];
  const sim = await Sim.start(scope, '--tls-listen', '127.0.0.1:0', '--tls-ca', file, ...chat);
  const { hostname: host, port } = new URL(sim.wss);
  const connect = () => tls.connect({ host, port, ca: readFileSync(file), servername: 'localhost' });
  const over = { ...websocket(connect), ssl: true };
  assert.equal((await readsAll(scope, sim, rooms(1), over)).length, 200);
  assert.equal((await sim.connections())[0].transport, 'wss');
});

test(NAME, 'reads over TCP', async (scope) => {
  const chat = ['--rate', '200', '--limit', '300', '--wait-for', '1'];
  const sim = await Sim.start(scope, '--listen', `127.0.0.1:${TCP_PORT}`, ...chat).catch((error) => {
    throw new Skip(`its port ${TCP_PORT} cannot be had: free it (${String(error.message).trim().split('\n').at(-1)})`);
  });
  const over = { webSocket: false, ssl: false, hostName: '127.0.0.1' };
  assert.equal((await readsAll(scope, sim, rooms(1), over)).length, 300);
  assert.equal((await sim.connections())[0].transport, 'irc');
});

test(NAME, 'understands chat, notices, moderation and room states', async (scope) => {
  const sim = await Sim.start(scope, '--replay', fileOf(scope, KINDS), '--rate', '100', '--wait-for', '1');
  const reader = client(scope, sim, { channels: ['room'] });
  const seen = [];
  reader.onMessage((channel, user, text, message) => {
    seen.push(['chat', channel, user, text, message.bits, Object.fromEntries(message.emoteOffsets)]);
  });
  reader.onAction((channel, user, text) => seen.push(['action', user, text]));
  reader.onSub((channel, user, { plan, planName }) => seen.push(['sub', user, plan, planName]));
  reader.onResub((channel, user, sub) => seen.push(['resub', user, sub.months, sub.streak, sub.isPrime, sub.message]));
  reader.onSubGift((channel, user, { gifter, plan }) => seen.push(['subgift', user, gifter, plan]));
  reader.onCommunitySub((channel, user, { count, plan }) => seen.push(['community', user, count, plan]));
  reader.onRaid((channel, user, { viewerCount }) => seen.push(['raid', user, viewerCount]));
  reader.onAnnouncement((channel, user, { color }) => seen.push(['announcement', user, color]));
  reader.onTimeout((channel, user, seconds) => seen.push(['timeout', user, seconds]));
  reader.onBan((channel, user) => seen.push(['ban', user]));
  reader.onChatClear((channel) => seen.push(['clear', channel]));
  reader.onMessageRemove((channel, id) => seen.push(['remove', id]));
  reader.onSlow((channel, on, seconds) => seen.push(['slow', on, seconds]));
  reader.onFollowersOnly((channel, on, minutes) => seen.push(['followers', on, minutes]));
  await connected(reader);
  await until('the last of them', () => seen.at(-1)?.[0] === 'followers' && seen.at(-1)[1] === false);
  assert.deepEqual(seen, [
    ['chat', 'room', 'ann', 'hello Kappa', 0, { 25: ['6-10'] }],
    ['action', 'bob', 'waves'],
    ['chat', 'room', 'cid', 'cheer100 well played', 100, {}],
    ['sub', 'dee', '1000', 'Room Sub'],
    ['resub', 'eve', 14, 3, true, 'fourteen months'],
    ['subgift', 'gus', 'flo', '2000'],
    ['community', 'flo', 5, '1000'],
    ['raid', 'hal', 42],
    ['announcement', 'ida', 'PURPLE'],
    ['timeout', 'bob', 600],
    ['ban', 'cid'],
    ['clear', 'room'],
    ['remove', '5b2d2b6c-6f3e-4d6a-9a57-0f3e7e2b8a01'],
    ['slow', true, 30],
    ['slow', false, undefined],
    ['followers', true, 10],
    ['followers', false, undefined],
  ]);
});

test(NAME, 'comes back after RECONNECT, after a reset and after a goodbye', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '100', '--channels', '2');
  const reader = client(scope, sim, { channels: rooms(2) });
  await connected(reader);
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
  const written = new Set((await sim.ledger()).map((row) => row.raw));
  const heard = reader.heard.filter(isChat);
  assert.equal(new Set(heard).size, heard.length);
  assert.ok(heard.every((line) => written.has(line)));
  const last = (await sim.connections()).at(-1);
  await until('all of the last connection', async () => {
    const all = new Set(reader.heard);
    return (await sim.writtenTo(last.id)).every((line) => all.has(line));
  });
});

test(NAME, 'a wrong token is refused, and tried again ever later', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--bad-token', 'bot_w1-wrong');
  const sender = client(scope, sim, { token: 'bot_w1-wrong' });
  const failures = [];
  sender.onAuthenticationFailure((text, tries) => failures.push([text, tries]));
  sender.connect();
  await until('three failures', () => failures.length >= 3);
  assert.deepEqual(failures.slice(0, 3), [1, 2, 3].map((tries) => ['Login authentication failed', tries]));
  const [first] = await sim.connections();
  assert.ok(['login_failed', 'client'].includes(first.close_reason), first.close_reason);
  assert.equal(first.nick, 'bot_w1');
});

test(NAME, 'an expired login shows at the next connect', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0');
  const sender = client(scope, sim, { token: 'bot_w2-good', channels: rooms(1) });
  let failures = 0;
  sender.onAuthenticationFailure(() => { failures += 1; });
  await connected(sender);
  await sim.fault({ fault: 'expire_login', nick: 'bot_w2' });
  await until('the room', async () => (await sim.open())[0]?.channels.length === 1);
  assert.equal(failures, 0);
  await sim.fault({ fault: 'reconnect' });
  await until('a refusal', () => failures > 0);
  await sim.fault({ fault: 'heal' });
  await until('the room again', async () => (await sim.open()).some(({ channels }) => channels.length === 1));
});

test(NAME, 'logs in and is heard by another', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0');
  const [channel] = rooms(1);
  const sender = client(scope, sim, { token: 'bot_w3-good', channels: [channel] });
  const reader = client(scope, sim, { channels: [channel] });
  const heard = [];
  reader.onMessage((where, user, text, message) => heard.push([where, user, text, message.id]));
  reader.onAction((where, user, text) => heard.push([where, user, text]));
  await Promise.all([connected(sender), connected(reader)]);
  await until('both in the room', async () => (await sim.open()).every(({ channels }) => channels.length === 1));
  await sender.say(channel, 'hello there');
  await sender.action(channel, 'bows');
  await until('both messages', () => heard.length === 2);
  const ledger = await sim.ledger();
  assert.deepEqual(heard, [
    [channel, 'bot_w3', 'hello there', ledger[0].id],
    [channel, 'bot_w3', 'bows'],
  ]);
  assert.equal(ledger[0].origin, 'client');
});

test(NAME, 'the same message within 30 s is refused', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0');
  const [channel] = rooms(1);
  const sender = client(scope, sim, { token: 'bot_w4-good', channels: [channel] });
  const refused = [];
  sender.onMessageFailed((where, reason) => refused.push([where, reason]));
  await connected(sender);
  await until('the room', async () => (await sim.open())[0]?.channels.length === 1);
  await sender.say(channel, 'once');
  await sender.say(channel, 'once');
  await until('the refusal', () => refused.length === 1);
  assert.deepEqual(refused, [[channel, 'msg_duplicate']]);
  assert.equal((await sim.ledger()).length, 1);
});

test(NAME, 'paces its messages so that none is dropped', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '25');
  const [channel, ...others] = rooms(25);
  const sender = client(scope, sim, { token: 'bot_w5-good' });
  await connected(sender);
  await Promise.all(['a', 'b', 'c'].map((text) => sender.say(channel, text)));
  await until('all three', async () => (await sim.ledger()).length === 3);
  const first = await sim.ledger();
  assert.deepEqual(first.map((row) => parse(row.raw).text), ['a', 'b', 'c']);
  assert.ok(first.slice(1).every((row, at) => row.sent_at_ms - first[at].sent_at_ms >= 1_000));
  // 24 more at once: 17 fit the 20 of 30 s, the others wait for the next period rather than be dropped.
  others.forEach((other) => sender.say(other, 'hello').catch(() => {}));
  await until('20 messages', async () => (await sim.ledger()).length >= 20);
  await sleep(2_000);
  assert.equal((await sim.ledger()).length, 20);
});

test(NAME, 'one that thinks itself a moderator is silenced', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '25');
  const sender = client(scope, sim, { token: 'bot_w6-good', isAlwaysMod: true });
  await connected(sender);
  // As a moderator it paces to 100 in 30 s, which this account is not.
  await Promise.all(rooms(25).map((channel) => sender.say(channel, 'hello')));
  await until('20 messages', async () => (await sim.ledger()).length >= 20);
  await sleep(500);
  assert.equal((await sim.ledger()).length, 20);
  assert.equal((await sim.open()).length, 1, 'muted, not closed');
});

test(NAME, 'paces its JOINs so that it is never cut', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '25');
  const reader = client(scope, sim, { channels: rooms(25) });
  const started = performance.now();
  await connected(reader);
  await until('the first 20', async () => (await sim.open())[0]?.channels.length === 20);
  await until('all rooms', async () => (await sim.open())[0]?.channels.length === 25, 30_000);
  assert.ok(performance.now() - started > 10_000, 'the 21st waits for the next period');
  assert.equal((await sim.connections()).length, 1);
});

test(NAME, 'JOINs beyond 20 in 10 s end the connection', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '25');
  // As a verified bot it sends 2,000 in 10 s, which this account is not.
  const reader = client(scope, sim, { token: 'bot_w7-good', botLevel: 'verified', channels: rooms(25) });
  await connected(reader);
  await until('the cut', async () => (await sim.connections())[0].close_reason !== null);
  assert.equal((await sim.connections())[0].close_reason, 'join_budget');
});

test(NAME, 'an account is in at most 100 rooms', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--channels', '103', '--join-budget', '0');
  const reader = client(scope, sim, { token: 'bot_w8-good', botLevel: 'verified' });
  const failed = [];
  reader.onJoinFailure((channel, reason) => failed.push([channel, reason]));
  await connected(reader);
  const outcomes = await Promise.allSettled(rooms(103).map((channel) => reader.join(channel)));
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 100);
  assert.equal((await sim.open())[0].channels.length, 100);
});

test(NAME, 'rooms that are suspended', async (scope) => {
  const sim = await Sim.start(scope, '--rate', '0', '--suspended', 'gone');
  const reader = client(scope, sim);
  const failed = [];
  reader.onJoinFailure((channel, reason) => failed.push([channel, reason]));
  await connected(reader);
  await assert.rejects(reader.join('gone'));
  assert.deepEqual(failed, [['gone', 'msg_channel_suspended']]);
});
