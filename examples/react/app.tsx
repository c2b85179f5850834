// A player in React 19. `unsay relay` and a publisher of `demo` must run.
import { useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import "unsay/element";
import type { UnsayWatch, UnsayWatchState } from "unsay/element";
import type {} from "unsay/react";

function Player({ broadcast }: { broadcast: string }) {
  const watch = useRef<UnsayWatch>(null);
  const [state, setState] = useState<UnsayWatchState>("idle");
  const [volume, setVolume] = useState(1);
  const toggle = () => (state === "idle" ? watch.current?.play() : watch.current?.pause());
  return (
    <main>
      <unsay-watch
        ref={watch}
        url="http://localhost:4443"
        broadcast={broadcast}
        volume={volume}
        onstate={({ detail }) => setState(detail)}
      />
      <button type="button" onClick={toggle}>
        {state === "idle" ? "Listen" : "Pause"}
      </button>
      <label>
        Volume
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={volume}
          onChange={({ target }) => setVolume(target.valueAsNumber)}
        />
      </label>
      <p role="status">{state}</p>
    </main>
  );
}

const container = document.createElement("div");
document.body.append(container);
createRoot(container).render(<Player broadcast="demo" />);
