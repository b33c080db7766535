"""A forward-protocol server by hand that decides when it acknowledges, which no package lets a test do."""

import socket
import threading

import msgpack


class LateForward:
    """Keeps the acks of its first connection back until that has ended; later connections get theirs at once."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.chunks = []  # (connection, chunk id, records), in the order of arrival
        self.late_acks = 0
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
        kept = []
        with peer:
            while True:
                try:
                    read = peer.recv(65536)
                except OSError:
                    return
                if not read:
                    break
                unpacker.feed(read)
                for _tag, entries, option in unpacker:
                    self.chunks.append((connection, option["chunk"], self._records(entries)))
                    if connection == 0:
                        kept.append(option["chunk"])
                    else:
                        peer.sendall(msgpack.packb({"ack": option["chunk"]}))
            for chunk in kept:  # the client has ended its side for want of these
                try:
                    peer.sendall(msgpack.packb({"ack": chunk}))
                    self.late_acks += 1
                except OSError:
                    return

    @staticmethod
    def _records(entries):
        inner = msgpack.Unpacker(raw=False, strict_map_key=False, ext_hook=lambda code, data: data)
        inner.feed(entries)
        return [entry[1] for entry in inner]

    def close(self):
        self.listener.close()
