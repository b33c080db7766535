"""Forward-protocol servers by hand that decide what they acknowledge, which no package lets a test do."""

import socket
import threading

import msgpack


class HandForward:
    """Notes every chunk and acknowledges it; what is different is for subclasses."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.chunks = []  # (connection, chunk id, records), in the order of arrival
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        connection = 0
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer, connection), daemon=True).start()
            connection += 1

    def _serve(self, peer, connection):
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, ext_hook=lambda code, data: data)
        with peer:
            try:
                while read := peer.recv(65536):
                    unpacker.feed(read)
                    for _tag, entries, option in unpacker:
                        records = self._records(entries)
                        self.chunks.append((connection, option["chunk"], records))
                        if not self.answer(peer, connection, option["chunk"], records):
                            return
                self.ended(peer, connection)
            except OSError:
                return

    @staticmethod
    def _records(entries):
        inner = msgpack.Unpacker(raw=False, strict_map_key=False, ext_hook=lambda code, data: data)
        inner.feed(entries)
        return [entry[1] for entry in inner]

    def answer(self, peer, connection, chunk, records):
        """Answer one chunk; false ends the connection."""
        peer.sendall(msgpack.packb({"ack": chunk}))
        return True

    def ended(self, peer, connection):
        """The client has ended its side."""

    def close(self):
        self.listener.close()


class LateForward(HandForward):
    """Keeps the acks of its first connection back until that has ended; later connections get theirs at once."""

    def __init__(self):
        self.kept = []
        super().__init__()

    def answer(self, peer, connection, chunk, records):
        if connection > 0:
            return super().answer(peer, connection, chunk, records)
        self.kept.append(chunk)
        return True

    def ended(self, peer, connection):
        if connection == 0:
            for chunk in self.kept:  # the client has ended its side for want of these
                super().answer(peer, connection, chunk, [])


class PickyForward(HandForward):
    """Refuses every chunk with a record that `refuses` says true of: ends the connection, or answers nothing."""

    def __init__(self, refuses, silently=False):
        self.refuses, self.silently = refuses, silently
        self.taken = []
        super().__init__()

    def answer(self, peer, connection, chunk, records):
        if any(self.refuses(record) for record in records):
            return self.silently
        self.taken += records
        return super().answer(peer, connection, chunk, records)
