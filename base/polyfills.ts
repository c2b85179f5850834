// Node 20 lacks these; `@moq/net`, `@moq/signals`, `@moq/qmux` and `@moq/web-transport` call them.
import "core-js/actual/promise/with-resolvers.js";
import "core-js/actual/set/difference.js";
