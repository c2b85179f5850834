"""A Pipecat bot for telephone calls, unmodified: says a recording to each call and interrupts it after a while.

Arguments: port, recording, seconds until the interruption.
"""

import asyncio
import sys
import wave

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import InterruptionFrame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

port, recording, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
app = FastAPI()


@app.websocket("/ws")
async def call(socket: WebSocket):
    await socket.accept()
    _, data = await parse_telephony_websocket(socket)
    serializer = TwilioFrameSerializer(
        stream_sid=data["stream_id"], call_sid=data["call_id"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    params = FastAPIWebsocketParams(audio_out_enabled=True, audio_in_enabled=True, serializer=serializer)
    transport = FastAPIWebsocketTransport(websocket=socket, params=params)
    worker = PipelineWorker(
        Pipeline([transport.input(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    with wave.open(recording) as file:
        audio, rate = file.readframes(file.getnframes()), file.getframerate()
    await asyncio.sleep(0.5)
    await worker.queue_frames([TTSStartedFrame(), TTSAudioRawFrame(audio, rate, 1), TTSStoppedFrame()])
    await asyncio.sleep(seconds)
    await worker.queue_frame(InterruptionFrame())
    await running


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", flush=True)


Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")).run()
