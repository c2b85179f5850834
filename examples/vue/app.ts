// A player in Vue 3. `unsay relay` and a publisher of `demo` must run.
import "unsay/element";
import type { UnsayWatchEventMap } from "unsay/element";
import { createApp, defineComponent, h, ref } from "vue";

// In a template: <unsay-watch url="..." broadcast="demo" controls :volume="volume" @state="follow" />, with
// `isCustomElement: (tag) => tag.startsWith("unsay-")` in the options of Vue's compiler.
const Player = defineComponent(() => {
  const state = ref("idle");
  const volume = ref(1);
  const onState = ({ detail }: UnsayWatchEventMap["state"]) => {
    state.value = detail;
  };
  const onInput = ({ target }: Event) => {
    volume.value = (target as HTMLInputElement).valueAsNumber;
  };
  return () => [
    h("unsay-watch", {
      url: "http://localhost:4443",
      broadcast: "demo",
      controls: true,
      volume: volume.value,
      onState,
    }),
    h("label", ["Volume ", h("input", { type: "range", min: 0, max: 1, step: 0.05, value: volume.value, onInput })]),
    h("p", { role: "status" }, state.value),
  ];
});

const container = document.createElement("div");
document.body.append(container);
createApp(Player).mount(container);
