"""Messages over a socket: a pickle, and beside it the large buffers that it speaks of, uncopied on the way out."""

import pickle
import select
import socket
import struct
import threading
from typing import Any, NamedTuple

__all__ = ["Channel", "Message", "pack"]

HEAD = struct.Struct("<QII")
"""Number, kind, count of parts. The sizes of the parts follow, then the parts."""
SIZE = struct.Struct("<Q")
LARGE = 1 << 14
"""Bytes from which a buffer travels beside the pickle instead of inside."""
AT_ONCE = 64
"""Parts in one system call; every system takes many more."""


class Message(NamedTuple):
    """A message as it came: opened by whoever it is for, not by the thread that receives."""

    number: int
    kind: int
    parts: list[bytearray]

    def open(self) -> Any:  # noqa: ANN401 - whatever was sent
        """Give what was sent; arrays in it stand on the buffers received and may be written to."""
        return pickle.loads(self.parts[0], buffers=self.parts[1:])  # noqa: S301 - from our own process


def pack(content: object) -> list[memoryview]:
    """Pickle `content`; raises whatever pickling raises."""
    large: list[memoryview] = []

    def put_beside(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < LARGE:
            return True
        large.append(view)
        return False

    return [memoryview(pickle.dumps(content, protocol=5, buffer_callback=put_beside)), *large]


class Channel:
    """One end of a connection; any number of threads may send, one receives."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected stream socket."""
        self._socket = connection
        self._sending = threading.Lock()

    def send(self, number: int, kind: int, parts: list[memoryview]) -> None:
        """Send what `pack` made. Raises `OSError` if the other end is gone."""
        head = HEAD.pack(number, kind, len(parts)) + b"".join(SIZE.pack(part.nbytes) for part in parts)
        left = [memoryview(head), *(part for part in parts if part.nbytes)]
        with self._sending:
            first = 0
            while first < len(left):
                sent = self._socket.sendmsg(left[first : first + AT_ONCE])
                while first < len(left) and sent >= left[first].nbytes:
                    sent -= left[first].nbytes
                    first += 1
                if sent:
                    left[first] = left[first][sent:]

    def try_send(self, number: int, kind: int, parts: list[memoryview], patience: float) -> None:
        """Send a small message to an end that may have stopped reading.

        Raises `TimeoutError` after `patience` seconds, twice at most, and what `send` raises.
        """
        if not self._sending.acquire(timeout=patience):
            raise TimeoutError("somebody else is sending")
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLOUT)
            if not poll.poll(patience * 1000):
                raise TimeoutError("the other end does not read")
        finally:
            self._sending.release()
        self.send(number, kind, parts)

    def receive(self) -> Message:
        """Wait for the next message. Raises `EOFError` or `OSError` once the other end is gone."""
        number, kind, count = HEAD.unpack(self._read(HEAD.size))
        sizes = [size for (size,) in SIZE.iter_unpack(self._read(SIZE.size * count))]
        return Message(number, kind, [self._read(size) for size in sizes])

    def shut(self) -> None:
        """Wake whoever sends or receives here, now and later; what has arrived can still be received."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end was faster

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view.nbytes:
            count = self._socket.recv_into(view)
            if not count:
                raise EOFError("the other end is gone")
            view = view[count:]
        return data
