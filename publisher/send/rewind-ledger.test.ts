import { expect, test } from "vitest";
import { fromSeconds } from "../../base/index.js";
import { RewindLedger } from "./rewind-ledger.js";

test("a ledger expects of each listener the rewinds that it has not reported", () => {
  const ledger = new RewindLedger();
  ledger.rewound(fromSeconds(1));
  ledger.reported(1, 7, fromSeconds(1));
  expect(ledger.expected(1, fromSeconds(1))).toBe(7);
  ledger.rewound(fromSeconds(2));
  ledger.rewound(fromSeconds(3));
  expect(ledger.expected(1, fromSeconds(3))).toBe(9);
  ledger.reported(1, 8, fromSeconds(3));
  ledger.reported(1, 7, fromSeconds(3));
  expect(ledger.expected(1, fromSeconds(3))).toBe(9);
  ledger.reported(1, 9, fromSeconds(3));
  expect(ledger.expected(1, fromSeconds(3))).toBe(9);
});

test("a ledger expects no rewind that a listener counted with another, once it is 4 s old", () => {
  const ledger = new RewindLedger();
  ledger.reported(1, 0, fromSeconds(0));
  ledger.rewound(fromSeconds(1));
  ledger.rewound(fromSeconds(1.01));
  ledger.reported(1, 1, fromSeconds(1.2));
  expect(ledger.expected(1, fromSeconds(4))).toBe(2);
  ledger.rewound(fromSeconds(6));
  expect(ledger.expected(1, fromSeconds(6))).toBe(2);
  ledger.reported(1, 2, fromSeconds(6.2));
  ledger.rewound(fromSeconds(7));
  expect(ledger.expected(1, fromSeconds(7))).toBe(3);
});

test("a ledger takes a lower count only where the higher one has not been reported for 4 s", () => {
  const ledger = new RewindLedger();
  ledger.reported(1, 2, fromSeconds(0));
  ledger.reported(1, 1_000_000, fromSeconds(1));
  ledger.reported(1, 2, fromSeconds(2));
  ledger.rewound(fromSeconds(3));
  expect(ledger.expected(1, fromSeconds(3))).toBe(1_000_001);
  ledger.reported(1, 3, fromSeconds(5.1));
  ledger.rewound(fromSeconds(6));
  expect(ledger.expected(1, fromSeconds(6))).toBe(4);
});

test("a ledger remembers the 1,024 listeners that reported last", () => {
  const ledger = new RewindLedger();
  for (let session = 0; session < 1024; session++) ledger.reported(session, 0, fromSeconds(0));
  ledger.reported(0, 0, fromSeconds(0));
  ledger.reported(1024, 0, fromSeconds(0));
  ledger.rewound(fromSeconds(1));
  expect([0, 1, 1024].map((session) => ledger.expected(session, fromSeconds(1)))).toEqual([1, 0, 1]);
});
