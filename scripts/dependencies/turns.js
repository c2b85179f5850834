// Added by unsay's scripts/patch-dependencies.mjs, which says why.

// A loop over bytes that have arrived runs in one turn of the event loop, in which no timer and no other session does.
const TURN_MS = 8;
// A look at the clock for each of them would cost more than they do.
const READS = 64;
let reads = 0;
let turnedAt = 0;
let turn;

/** Whether reads have gone on for so long that the next one must wait for a turn of the event loop. */
export function isLong() {
  if (turn !== undefined) return true;
  if (++reads < READS) return false;
  reads = 0;
  return performance.now() - turnedAt > TURN_MS;
}

/** Resolves in the next turn of the event loop, where timers and other sessions have had theirs. */
export function nextTurn() {
  turn ??= new Promise((resolve) => {
    later(() => {
      turn = undefined;
      turnedAt = performance.now();
      resolve();
    });
  });
  return turn;
}

// Before a program's tests replace it with one of their own.
const immediate = globalThis.setImmediate;

// A browser delays timers of a hidden page by a second.
function later(run) {
  if (immediate !== undefined) return void immediate(run);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(undefined);
}
