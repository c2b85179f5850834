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
  const [message, setMessage] = useState("");
  const isOff = state === "idle" || state === "failed";
  // What goes wrong becomes an `error` event.
  const toggle = () => (isOff ? watch.current?.play().catch(() => {}) : watch.current?.pause());
  return (
    <main>
      <unsay-watch
        ref={watch}
        url="http://localhost:4443"
        broadcast={broadcast}
        volume={volume}
        onstate={({ detail }) => setState(detail)}
        onerror={({ detail }) => setMessage(detail.message)}
      />
      <button type="button" onClick={toggle}>
        {isOff ? "Listen" : "Pause"}
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
      <p role="status">{state === "failed" ? message : state}</p>
    </main>
  );
}

const container = document.createElement("div");
document.body.append(container);
createRoot(container).render(<Player broadcast="demo" />);
