"""Pipecat's own MOQ transport, unmodified: says a recording twice through a relay. Arguments: relay URL, recording."""

import asyncio
import sys
import wave

from pipecat.frames.frames import EndFrame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.transports.moq.transport import MOQParams, MOQTransport
from pipecat.workers.runner import WorkerRunner


async def main(url, recording):
    transport = MOQTransport(
        MOQParams(relay_url=url, namespace="pipecat", verify_ssl=False, audio_out_enabled=True, audio_in_enabled=True)
    )
    worker = PipelineWorker(Pipeline([transport.input(), transport.output()]))
    runner = WorkerRunner()
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    with wave.open(recording) as file:
        audio, rate = file.readframes(file.getnframes()), file.getframerate()
    print("ready", flush=True)
    for _ in range(2):
        await asyncio.to_thread(sys.stdin.readline)
        await worker.queue_frames([TTSStartedFrame(), TTSAudioRawFrame(audio, rate, 1), TTSStoppedFrame()])
    await asyncio.to_thread(sys.stdin.readline)
    await worker.queue_frame(EndFrame())
    await running


asyncio.run(main(*sys.argv[1:]))
