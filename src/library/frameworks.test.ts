import type { JSX } from "react";
import { expectTypeOf, test } from "vitest";
import type { GlobalComponents } from "vue";
import type {} from "./react.js";
import type {} from "./vue.js";

// The compiler checks these: `npm run types`.
test("a framework may leave any property or handler of an element undefined", () => {
  type Watch = JSX.IntrinsicElements["unsay-watch"];
  type Talk = JSX.IntrinsicElements["unsay-talk"];
  expectTypeOf<{ url: undefined; volume: undefined; onstate: undefined }>().toExtend<Watch>();
  expectTypeOf<{ device: undefined; muted: undefined; onerror: undefined }>().toExtend<Talk>();
  expectTypeOf<{ volume: string }>().not.toExtend<Watch>();
  type Props = InstanceType<GlobalComponents["unsay-watch"]>["$props"];
  expectTypeOf<{ volume: undefined; onState: undefined; onError: undefined }>().toExtend<Props>();
  expectTypeOf<{ onState: string }>().not.toExtend<Props>();
});
