// `@moq/net`, `@moq/signals`, `@moq/qmux` and `@moq/web-transport` call these, which Node 20 lacks.
import "core-js/actual/promise/with-resolvers.js";
import "core-js/actual/set/difference.js";
