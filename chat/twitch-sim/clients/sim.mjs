// The simulated Twitch as a process of its own, and what it says that it sent.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { until } from './harness.mjs';

let program;

/** Names the built binary. */
export function setProgram(file) {
  program = file;
}

export class Sim {
  #child;

  /** Starts one with these options; it ends with the scope. */
  static async start(scope, ...options) {
    const sim = new Sim();
    const child = spawn(program, ['twitch-sim', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
    sim.#child = child;
    let said = '';
    child.stderr.on('data', (data) => {
      said = (said + data).slice(-4096);
    });
    const ended = once(child, 'exit');
    scope.after(async () => {
      child.kill('SIGTERM');
      await ended;
    });
    const lines = createInterface({ input: child.stdout });
    const first = await Promise.race([once(lines, 'line'), ended.then(() => undefined)]);
    if (!first) throw new Error(`the simulator did not start: ${said}`);
    Object.assign(sim, JSON.parse(first[0]));
    return sim;
  }

  get host() {
    return new URL(this.ws).hostname;
  }

  get port() {
    return Number(new URL(this.ws).port);
  }

  /** What happened so far. */
  async stats() {
    return (await fetch(`${this.http}/stats`)).json();
  }

  /** The connections so far, by number. */
  async connections() {
    return (await this.stats()).connections;
  }

  /** Those that are still open. */
  async open() {
    return (await this.connections()).filter((connection) => connection.closed_at_ms === null);
  }

  /** Every chat line that there was, with the numbers of the connections that it was written to. */
  async ledger() {
    const text = await (await fetch(`${this.http}/ledger`)).text();
    return text.split('\n').filter(Boolean).map((row) => JSON.parse(row));
  }

  /** The lines that were written to a connection, in order. */
  async writtenTo(id) {
    return (await this.ledger()).filter((row) => row.connections.includes(id)).map((row) => row.raw);
  }

  /** Waits until the last line was sent and nothing waits for anybody. */
  async chatOver() {
    await until('the end of the chat', async () => {
      const { chat, connections } = await this.stats();
      const open = connections.filter((connection) => connection.closed_at_ms === null);
      return ['finished', 'stopped'].includes(chat.state) && open.every(({ queued_bytes }) => queued_bytes === 0);
    }, 40_000);
  }

  /** Makes something go wrong. */
  async fault(fault) {
    const answer = await fetch(`${this.http}/fault`, { method: 'POST', body: JSON.stringify(fault) });
    if (!answer.ok) throw new Error(`${JSON.stringify(fault)}: ${await answer.text()}`);
    return answer.json();
  }
}

/** A file of these lines, for as long as the scope lives. */
export function fileOf(scope, lines) {
  const folder = mkdtempSync(path.join(tmpdir(), 'tenure-clients-'));
  scope.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'lines.txt');
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  return file;
}
