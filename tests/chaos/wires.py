"""The wires between each worker and each database node, in a process of their own: `wires.py WORKERS PORT...`.

It prints the ports as JSON, a line: for each worker {node's port: port of the wire}. Then it obeys lines
`WORKER STATE`: `through` (all is well), `silent` (nothing arrives, nobody is told), `broken` (reset, then refused).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.mongod import _DIES_WITH_PARENT

_BLOCK = 64 * 1024
ROOT = Path(__file__).parents[2]


class Wires:
    """One worker's."""

    def __init__(self) -> None:
        self._flowing, self._broken = asyncio.Event(), False
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def become(self, state: str) -> None:
        """`through`, `silent` or `broken`."""
        self._broken = state == "broken"
        if state == "silent":
            self._flowing.clear()
        else:
            self._flowing.set()
        if self._broken:
            for writer in self._writers:
                writer.transport.abort()

    async def carry(self, node: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to a node, until either end closes it."""
        await self._flowing.wait()
        if self._broken:
            writer.transport.abort()
            return
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", node)
            self._writers |= {writer, far_writer}
            try:
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            finally:
                self._writers -= {writer, far_writer}
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_BLOCK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Switchboard:
    """The other end: what the process of the wires is told. `ports`: by worker, wire's port by node's port."""

    def __init__(self, process: asyncio.subprocess.Process, ports: Sequence[dict[str, int]]) -> None:
        self._process, self.ports = process, ports

    def become(self, worker: int, state: str) -> None:
        """Change the state of one worker's wires."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{worker} {state}\n".encode())


@asynccontextmanager
async def wired(workers: int, nodes: Sequence[int]) -> AsyncIterator[Switchboard]:
    """The process of the wires, until the end of the block."""
    command = [*_DIES_WITH_PARENT, sys.executable, "-m", "tests.chaos.wires", str(workers), *map(str, nodes)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            ports = json.loads(await process.stdout.readline())
        yield Switchboard(process, ports)
    finally:
        process.kill()
        await process.communicate()


async def _run(workers: int, nodes: Sequence[int]) -> None:
    wires = [Wires() for _ in range(workers)]
    ports = [{str(node): await _listen(each, node) for node in nodes} for each in wires]
    print(json.dumps(ports), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().split():
        wires[int(line[0])].become(line[1])


_servers: list[asyncio.Server] = []


async def _listen(wires: Wires, node: int) -> int:
    server = await asyncio.start_server(lambda r, w: wires.carry(node, r, w), "127.0.0.1", 0)
    _servers.append(server)
    return int(server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
