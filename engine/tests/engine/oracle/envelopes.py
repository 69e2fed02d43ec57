"""Files within what programs of offices, mail and the Macintosh wrap them in: ActiveMime, presentations, TNEF, MacBinary, AppleSingle, BinHex."""
import base64, struct, sys, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

LONG = WORDS + MARKER + WORDS
LETTERS = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"


def crc(content, state=0):
    for byte in content:
        state ^= byte << 8
        for _ in range(8):
            state = (state << 1 ^ 0x1021 if state & 0x8000 else state << 1) & 0xFFFF
    return struct.pack(">H", state)


def macbinary(content, version, resources=b""):
    header = bytearray(128)
    header[1:11] = b"\x09eicar.com"
    header[65:73] = b"TEXTttxt"
    header[83:91] = struct.pack(">II", len(content), len(resources))
    if version >= 2:
        header[122:124] = bytes([127 + version, 129])
        header[102:106] = b"mBIN" if version == 3 else bytes(4)
        header[124:126] = crc(header[:124])
    return bytes(header) + content + bytes(-len(content) % 128) + resources + bytes(-len(resources) % 128)


def apple(mark, entries):
    head, body, at = struct.pack(">IIQQH", mark, 0x20000, 0, 0, len(entries)), b"", 26 + 12 * len(entries)
    for kind, content in entries:
        head += struct.pack(">III", kind, at + len(body), len(content))
        body += content
    return head + body


def binhex(content, end="\r\n"):
    head = b"\x09eicar.com\0TEXTttxt" + struct.pack(">HII", 0, len(content), 0)
    packed = (head + crc(head) + content + crc(content) + crc(b"")).replace(b"\x90", b"\x90\0")
    bits = "".join(f"{byte:08b}" for byte in packed)
    bits += "0" * (-len(bits) % 6)
    text = ":" + "".join(LETTERS[int(bits[at:at + 6], 2)] for at in range(0, len(bits), 6)) + ":"
    return ("(This file must be converted with BinHex 4.0)" + end + end.join(text[at:at + 64] for at in range(0, len(text), 64)) + end).encode()


def attribute(level, tag, content):
    return struct.pack("<BII", level, tag, len(content)) + content + struct.pack("<H", sum(content) & 0xFFFF)


def tnef(content, how):
    out = struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x89006, struct.pack("<I", 0x10000)) + attribute(1, 0x69007, struct.pack("<II", 1252, 0))
    out += attribute(2, 0x69002, struct.pack("<HIHHI", 1, 0xFFFFFFFF, 0, 0, 0)) + attribute(2, 0x18010, b"eicar.com\0")
    if how == "attribute":
        return out + attribute(2, 0x6800F, content)
    tag, content = (0x3701000D, bytes(16) + content) if how == "object" else (0x37010102, content)
    value = lambda text: struct.pack("<II", 1, len(text)) + text + bytes(-len(text) % 4)
    return out + attribute(2, 0x69005, struct.pack("<II", 2, 0x3704001E) + value(b"eicar.com\0") + struct.pack("<I", tag) + value(content))


def attached(content, kind="application/octet-stream"):
    head = f"From: a@example.org\nTo: b@example.org\nSubject: words\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\nwords\n--B\nContent-Type: {kind}; name=a.dat\nContent-Transfer-Encoding: base64\n\n"
    return head.encode() + base64.encodebytes(content) + b"\n--B--\n"


def active_mime(content, start=0x32):
    return (b"ActiveMime\0\0\1\xf0\4\0\0\0\xff\xff\xff\xff\0\0\7\xf0" + struct.pack("<I", 10)).ljust(start, b"\0") + zlib.compress(content)


def presentation(content, packed=True):
    """A compound file of one stream, which is longer than what stands in the short sectors."""
    inner = struct.pack("<I", len(content)) + zlib.compress(content) if packed else content
    stream = struct.pack("<HHI", 0x10 if packed else 0, 0x1011, len(inner)) + inner
    stream = struct.pack("<HHI", 15, 1000, len(stream)) + stream
    stream += bytes(max(4096, len(stream)) - len(stream))
    count = -(-len(stream) // 512)
    fat = [*range(1, count), 0xFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFD]
    entry = lambda name, kind, child, start, size: (name.encode("utf-16-le") + b"\0\0").ljust(64, b"\0") + struct.pack("<HBBIII16sIQQIQ", 2 * len(name) + 2, kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child, bytes(16), 0, 0, 0, start, size)
    directory = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry("PowerPoint Document", 2, 0xFFFFFFFF, 0, len(stream)) + bytes(256)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, count, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0) + struct.pack("<I", count + 1).ljust(436, b"\xff")
    return head + stream.ljust(count * 512, b"\0") + directory + b"".join(struct.pack("<I", n) for n in fat).ljust(512, b"\xff")


START = rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"


def rtf(content, how, length=None):
    """Compressed RTF: plain, of letters alone, or with what stood before."""
    items, at = [], 0
    while at < len(content):
        before, found = (START + content[:at])[-4000:], None
        for count in range(17, 1, -1) if how == "copies" else ():
            if at + count <= len(content) and content[at:at + count] in before:
                place = len(START) + at - len(before) + before.rfind(content[at:at + count])
                found = struct.pack(">H", place % 4096 << 4 | count - 2)
                break
        items.append((1, found) if found else (0, content[at:at + 1]))
        at += count if found else 1
    items.append((1, struct.pack(">H", (len(START) + len(content)) % 4096 << 4)))
    groups = [items[at:at + 8] for at in range(0, len(items), 8)]
    packed = b"".join(bytes([sum(flag << bit for bit, (flag, _) in enumerate(group))]) + b"".join(text for _, text in group) for group in groups)
    data = content if how == "plain" else packed
    return struct.pack("<II4sI", len(data) + 12, len(content) if length is None else length, b"MELA" if how == "plain" else b"LZFu", 0) + data


def message(tag, content):
    value = struct.pack("<IIII", 1, tag, 1, len(content)) + content + bytes(-len(content) % 4)
    return struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x89006, struct.pack("<I", 0x10000)) + attribute(1, 0x69007, struct.pack("<II", 1252, 0)) + attribute(1, 0x69003, value)


for payload, content in dict(eicar=PAYLOAD, long=LONG, clean=WORDS).items():
    name = "clean" if payload == "clean" else f"malware-{payload}"
    made = {
        **{f"macbinary-{version}": macbinary(content, version) for version in (0, 1, 2, 3)}, "macbinary-resources": macbinary(WORDS, 3, content),
        "applesingle": apple(0x51600, [(3, b"eicar.com"), (1, content)]), "appledouble": apple(0x51607, [(9, bytes(32)), (2, content)]),
        "activemime": active_mime(content), "activemime-later": active_mime(content, 0x22A), "presentation": presentation(content),
        **{f"tnef-{how}": tnef(content, how) for how in ("attribute", "binary", "object")},
        "binhex": binhex(content), "binhex-lf": binhex(content, "\n"),
    }
    made |= {f"tnef-rtf-{how}": message(0x10090102, rtf(content, how)) for how in ("plain", "letters", "copies")}
    made |= {"tnef-rtf-shorter": message(0x10090102, rtf(content + b"}}}", "letters", len(content))), "tnef-html": message(0x10130102, content), "tnef-body": message(0x1000001E, content + b"\0")}
    for kind, file in made.items():
        put(f"{name}-{kind}", file)
        put(f"{name}-{kind}-in-mail", attached(file, "application/ms-tnef" if "tnef" in kind else "application/octet-stream"))
    put(f"{name}-binhex-behind-words", b"just some words\r\n" * 30 + binhex(content))
    put(f"{name}-binhex-twice", b"just some words\r\n" * 30 + binhex(WORDS) + b"words\r\n" + binhex(content))
