"""Writes files as C arrays: embed.py OUTPUT INPUT..., a name is that of the file with '_' for '.'."""

import pathlib
import sys

out = ["/* Generated from src/http/docs. */", "#pragma once", ""]
for name in sys.argv[2:]:
    path = pathlib.Path(name)
    data = path.read_bytes()
    out.append(f"static const unsigned char {path.name.replace('.', '_')}[] = {{")
    for at in range(0, len(data), 16):
        out.append("    " + " ".join(f"{byte}," for byte in data[at : at + 16]))
    out.append("};")
pathlib.Path(sys.argv[1]).write_text("\n".join(out) + "\n")
