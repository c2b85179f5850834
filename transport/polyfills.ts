// `@moq/net` and `@moq/qmux` call these, which browsers have since 2023 (`withResolvers`) and 2024 (`difference`). The
// library that polyfills them elsewhere would make up an eighth of a page's script.

if (typeof Promise.withResolvers !== "function")
  Promise.withResolvers = <T>() => {
    let resolve!: PromiseWithResolvers<T>["resolve"];
    let reject!: PromiseWithResolvers<T>["reject"];
    const promise = new Promise<T>((settle, refuse) => {
      resolve = settle;
      reject = refuse;
    });
    return { promise, resolve, reject };
  };

const sets: object = Set.prototype;
if (!("difference" in sets))
  Object.defineProperty(sets, "difference", {
    configurable: true,
    writable: true,
    value<T>(this: Set<T>, other: ReadonlySet<unknown>): Set<T> {
      return new Set([...this].filter((each) => !other.has(each)));
    },
  });
