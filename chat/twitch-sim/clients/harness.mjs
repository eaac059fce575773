// A small test harness: tests with a time limit, a few at once, and skips that say why.

const AT_ONCE = 6;
const WITHIN_MS = 60_000;

const tests = [];

/** Why a test was not run. */
export class Skip extends Error {}

/** At least one test failed. */
export class Failures {}

/** What a test needs to clean up after itself, whatever comes of it. */
class Scope {
  #undo = [];

  /** Runs `undo` at the end of the test. */
  after(undo) {
    this.#undo.push(undo);
  }

  async end() {
    for (const undo of this.#undo.reverse()) {
      await undo();
    }
  }
}

/** Adds the test of a client; its body gets a scope. */
export function test(client, name, body) {
  tests.push({ client, name, body });
}

/** Waits until `holds` gives something true, and gives that; fails with `what` where it does not in time. */
export async function until(what, holds, withinMs = 20_000) {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (performance.now() > end) throw new Error(`${what}: not within ${withinMs} ms`);
    await sleep(20);
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fails where two lists differ, and says where they do so first. */
export function sameList(what, got, expected) {
  const length = Math.max(got.length, expected.length);
  for (let at = 0; at < length; at += 1) {
    if (got[at] !== expected[at]) {
      const [ours, theirs] = [got[at], expected[at]].map((item) => JSON.stringify(item) ?? 'nothing');
      throw new Error(
        `${what}: ${got.length} of ${expected.length}, the first difference at ${at}:\n  got      ${ours}\n  expected ${theirs}`,
      );
    }
  }
}

/** Runs all tests whose name contains `only`; gives `Failures` where one failed. */
export async function runAll(only) {
  const chosen = tests.filter(({ client, name }) => `${client} ${name}`.includes(only));
  // A rejected promise that a client forgot is its own affair: it is told, and the test goes on.
  process.on('unhandledRejection', (reason) => console.log(`note: a client left a rejection unhandled: ${reason}`));
  const waiting = [...chosen];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await runOne(next);
      const { client, name, outcome, ms } = next;
      console.log(`${outcome.padEnd(7)} ${client} ${name} (${(ms / 1000).toFixed(1)} s)`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  print(chosen);
  return chosen.some(({ outcome }) => outcome === 'failed') ? new Failures() : undefined;
}

async function runOne(entry) {
  const started = performance.now();
  const scope = new Scope();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${WITHIN_MS} ms`)), WITHIN_MS);
  });
  try {
    await Promise.race([entry.body(scope), late]);
    entry.outcome = 'passed';
  } catch (error) {
    entry.outcome = error instanceof Skip ? 'skipped' : 'failed';
    entry.why = error instanceof Skip ? error.message : String(error?.stack ?? error);
  }
  clearTimeout(timer);
  try {
    await scope.end();
  } catch (error) {
    entry.outcome = 'failed';
    entry.why = `${entry.why ?? ''}\nat its end: ${error?.stack ?? error}`;
  }
  entry.ms = performance.now() - started;
}

function print(entries) {
  for (const client of new Set(entries.map((entry) => entry.client))) {
    console.log(`\nRunning ${client} (clients/${client})`);
    for (const { name, outcome, why } of entries.filter((entry) => entry.client === client)) {
      const title = name.replaceAll(' ', '_');
      console.log(`test ${title} ... ${outcome === 'failed' ? 'FAILED' : 'ok'}`);
      if (outcome === 'skipped') console.log(`SKIPPED: clients ${title}: ${why}`);
    }
  }
  const failed = entries.filter((entry) => entry.outcome === 'failed');
  if (failed.length > 0) console.log('\nfailures:');
  for (const { client, name, why } of failed) {
    console.log(`---- ${client} ${name} ----\n${why}\n`);
  }
  const count = (outcome) => entries.filter((entry) => entry.outcome === outcome).length;
  console.log(`\n${count('passed')} passed, ${failed.length} failed, ${count('skipped')} skipped`);
}
