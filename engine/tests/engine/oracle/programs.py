"""Programs of Windows with files in their resources, of every type, and trees that are found in several ways."""
import io, struct, sys, zipfile, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

RVA, UPPER = 0x2000, 0x80000000


def rsrc(resources):
    """The section: tables of types, names and languages, places, names, and then the content. A resource is a type, a name and content."""
    types = {}
    for kind, name, content in resources:
        types.setdefault(kind, []).append((name, content))
    size = lambda entries: 16 + 8 * entries
    at, names, languages, places = size(len(types)), {}, {}, {}
    for kind in types:
        names[kind], at = at, at + size(len(types[kind]))
    each = [(kind, number) for kind in types for number in range(len(types[kind]))]
    for one in each:
        languages[one], at = at, at + size(1)
    for one in each:
        places[one], at = at, at + 16
    texts, text_at = b"", {}
    for text in [text for kind in types for text in [kind, *(name for name, _ in types[kind])] if isinstance(text, str)]:
        text_at[text] = at + len(texts)
        texts += struct.pack("<H", len(text)) + text.encode("utf-16-le")
    start = at + len(texts) + -(at + len(texts)) % 8
    number = lambda text: UPPER | text_at[text] if isinstance(text, str) else text

    def table(entries):
        entries = sorted(entries, key=lambda entry: (not entry[0] & UPPER, entry[0]))
        named = sum(1 for own, _ in entries if own & UPPER)
        return struct.pack("<IIHHHH", 0, 0, 0, 0, named, len(entries) - named) + b"".join(struct.pack("<II", *entry) for entry in entries)

    out = table([(number(kind), UPPER | names[kind]) for kind in types])
    for kind in types:
        out += table([(number(name), UPPER | languages[kind, at]) for at, (name, _) in enumerate(types[kind])])
    out += b"".join(table([(1033, places[one])]) for one in each)
    data = b""
    for kind, at in each:
        content = types[kind][at][1]
        out += struct.pack("<IIII", RVA + start + len(data), len(content), 0, 0)
        data += content + bytes(-len(content) % 8)
    return (out + texts).ljust(start, b"\0") + data


def program(resources, wide=False, name=b".rsrc", is_named=True):
    tree = rsrc(resources)
    raw = tree + bytes(-len(tree) % 512)
    directories = bytearray(128)
    if is_named:
        directories[16:24] = struct.pack("<II", RVA, len(tree))
    whole = RVA + len(raw) + 0x1000 & ~0xFFF
    common = struct.pack("<IIHHHHHHIIIIHH", 0x1000, 512, 4, 0, 0, 0, 4, 0, 0, whole, 1024, 0, 3, 0)
    start = struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 8, 0, 512, len(raw), 0, 0x1000, 0x1000)
    base = struct.pack("<Q", 0x140000000) if wide else struct.pack("<II", RVA, 0x400000)
    sizes = struct.pack("<QQQQ" if wide else "<IIII", 0x100000, 0x1000, 0x100000, 0x1000) + struct.pack("<II", 0, 16)
    optional = start + base + common + sizes + bytes(directories)
    header = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664 if wide else 0x14C, 2, 0, 0, 0, len(optional), 0x102) + optional
    section = lambda name, size, address, length, place, flags: struct.pack("<8sIIIIIIHHI", name, size, address, length, place, 0, 0, 0, 0, flags)
    header += section(b".text", 512, 0x1000, 512, 1024, 0x60000020) + section(name, len(tree), RVA, len(raw), 1536, 0x40000040)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)
    return (head.ljust(0x80, b"\0") + header).ljust(1024, b"\0") + b"\xC3".ljust(512, b"\x90") + raw


archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
    zipped.writestr("eicar.com", PAYLOAD)
for wide in (False, True):
    bits = 64 if wide else 32
    for kind in (*range(1, 13), 14, 16, 17, *range(19, 25), 240, 241, 300, "DATA", "ZIP"):
        for name in (1, "A"):
            put(f"{bits}-{kind}-{name}", program([(kind, name, PAYLOAD)], wide))
    put(f"{bits}-second", program([(10, 1, WORDS), (10, 2, PAYLOAD), (16, 1, WORDS)], wide))
    put(f"{bits}-other-section", program([(10, 1, PAYLOAD)], wide, b".data"))
    put(f"{bits}-no-directory", program([(10, 1, PAYLOAD)], wide, is_named=False))
    put(f"{bits}-program", program([(10, 1, program([("X", 1, PAYLOAD)]))], wide))
    put(f"{bits}-behind-words", WORDS + program([(10, 1, PAYLOAD)], wide))
    put(f"{bits}-zip", program([(10, 1, archive.getvalue())], wide))
    put(f"{bits}-zlib", program([(10, 1, zlib.compress(PAYLOAD))], wide))
    put(f"clean-{bits}", program([(10, 1, WORDS), (24, 1, b"<assembly/>"), ("X", "Y", bytes(50))], wide))
