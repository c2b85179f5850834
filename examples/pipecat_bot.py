"""A Pipecat bot whose listeners fall silent at an interruption, and which learns the words that they heard (estimated).

    npx unsay agent --port 8765 --url http://localhost:4443 --broadcast agent --listen caller
    pip install pipecat-ai==1.14.0 websockets && python examples/pipecat_bot.py
"""

import asyncio
import json
import sys
import wave
from base64 import b64encode

from pipecat.frames.frames import EndFrame, InterruptionFrame, TTSAudioRawFrame, TTSStartedFrame
from pipecat.frames.frames import TTSStoppedFrame, TTSTextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner
from websockets.asyncio.client import connect


class UnsayOutput(BaseOutputTransport):
    """Sends the bot's audio and text to the door of `unsay agent`; `heard` gets the words that the listeners heard."""

    def __init__(self, url):
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_sample_rate=24000))
        self._url, self._said, self._sent = url, 0, 1
        self.audible, self.heard = asyncio.Event(), asyncio.Queue()

    async def start(self, frame):
        await super().start(frame)
        self._socket = await connect(self._url)
        self._reader = self.create_task(self._read())
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame):
        await self._send("response.output_audio.delta", self._sent, delta=b64encode(frame.audio).decode())
        return True

    async def process_frame(self, frame, direction):
        if isinstance(frame, TTSStartedFrame):
            self._said += 1
        elif isinstance(frame, TTSTextFrame):
            await self._send("response.output_audio_transcript.delta", self._said, delta=f"{frame.text} ")
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._sent = self._said + 1
            await self._socket.send(json.dumps({"type": "output_audio_buffer.clear"}))

    async def push_frame(self, frame, *direction):
        if isinstance(frame, TTSStoppedFrame):  # It leaves the queue behind the audio.
            await self._send("response.output_audio.done", self._sent)
            self._sent += 1
        await super().push_frame(frame, *direction)

    async def _send(self, kind, reply, **fields):
        place = {"response_id": f"r{reply}", "item_id": f"i{reply}", "content_index": 0}
        await self._socket.send(json.dumps({"type": kind, **place, **fields}))

    async def _read(self):
        async for message in self._socket:
            event = json.loads(message)
            if event["type"] == "input_audio_buffer.speech_started":
                await self.broadcast_interruption()
            elif event["type"] == "output_audio_buffer.started":
                self.audible.set()
            elif event["type"] == "conversation.item.truncate":
                await self.heard.put((event["audio_end_ms"], event["heardText"]))


async def main():
    """Stands for a bot with services: says a recording, which is interrupted a second and a half later."""
    output = UnsayOutput("ws://127.0.0.1:" + (sys.argv[1] if len(sys.argv) > 1 else "8765"))
    worker = PipelineWorker(Pipeline([output]))
    runner = WorkerRunner()
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    with wave.open("examples/audio/demo-clean.wav") as file:
        audio, rate = file.readframes(file.getnframes()), file.getframerate()
    words = json.load(open("examples/audio/demo-words.json"))["text"].split()
    texts = [TTSTextFrame(word, "word") for word in words]
    await worker.queue_frames([TTSStartedFrame(), *texts, TTSAudioRawFrame(audio, rate, 1), TTSStoppedFrame()])
    await output.audible.wait()
    await asyncio.sleep(1.5)
    await worker.queue_frame(InterruptionFrame())
    ms, text = await asyncio.wait_for(output.heard.get(), 20)
    print(f'Heard {ms} ms: "{text}"', flush=True)
    await worker.queue_frame(EndFrame())
    await running


if __name__ == "__main__":
    asyncio.run(main())
