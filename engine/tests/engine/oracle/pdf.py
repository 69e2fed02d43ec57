"""PDF: content in streams by each filter, however its dictionary is written; attachments; encryption; damaged and odd structure."""
import base64, os, struct, sys, tempfile, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

LONG = WORDS + MARKER + WORDS


def hexed(content):
    return content.hex().encode() + b">"


def a85(content):
    return base64.a85encode(content) + b"~>"


def run_length(content):
    return b"".join(bytes([len(content[at:at + 128]) - 1]) + content[at:at + 128] for at in range(0, len(content), 128)) + b"\x80"


def lzw(content):
    """Each byte by itself: codes of 9 bits, and a table that is cleared before it grows."""
    codes = []
    for at in range(0, len(content), 200):
        codes += [256, *content[at:at + 200]]
    codes.append(257)
    bits = "".join(f"{code:09b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at:at + 8], 2) for at in range(0, len(bits), 8))


def predicted(content, columns=17):
    """Rows of PNG's predictor `up`."""
    content += bytes(-len(content) % columns)
    rows = [content[at:at + columns] for at in range(0, len(content), columns)]
    last, out = bytes(columns), b""
    for row in rows:
        out += b"\2" + bytes((a - b) & 255 for a, b in zip(row, last))
        last = row
    return out


def pdf(stream, dictionary=b"", length=None, extra=b"", catalog=b"", header=b"%PDF-1.7\n", xref=True, keyword=b"stream\n", after=b"\nendstream", number=4, objects=(), trailer=b""):
    """A document whose attachment is `stream`."""
    length = str(len(stream)).encode() if length is None else length
    parts = [
        (1, b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(a)5 0 R]>>>>" + catalog + b">>"),
        (2, b"<</Type/Pages/Kids[3 0 R]/Count 1>>"),
        (3, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<<>>>>"),
        (number, b"<<" + b"/Type/EmbeddedFile" + (b"/Length " + length if length else b"") + dictionary + b">>" + keyword + stream + after),
        (5, b"<</Type/Filespec/F(a.bin)/UF(a.bin)/EF<</F %d 0 R>>>>" % number),
        *objects,
    ]
    out, places = header, {}
    for number, content in parts:
        places[number] = len(out)
        out += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    out += extra
    start = len(out)
    size = max(places) + 1
    if xref:
        out += b"xref\n0 %d\n0000000000 65535 f \n" % size
        out += b"".join(b"%010d 00000 n \n" % places[n] if n in places else b"0000000000 00000 f \n" for n in range(1, size))
    return out + b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, start)


FILTERS = dict(flate=(b"/FlateDecode", zlib.compress), hex=(b"/ASCIIHexDecode", hexed), a85=(b"/ASCII85Decode", a85), run=(b"/RunLengthDecode", run_length), lzw=(b"/LZWDecode", lzw))
SHORT = dict(flate=b"/Fl", hex=b"/AHx", a85=b"/A85", run=b"/RL", lzw=b"/LZW")
for payload, content in dict(eicar=PAYLOAD, long=LONG).items():
    put(f"{payload}-plain", pdf(content))
    for name, (word, pack) in FILTERS.items():
        packed = pack(content)
        put(f"{payload}-{name}", pdf(packed, b"/Filter" + word))
        put(f"{payload}-{name}-array", pdf(packed, b"/Filter[" + word + b"]"))
        put(f"{payload}-{name}-spaces", pdf(packed, b"\n/Filter \n [ " + word + b" ]\n"))
        put(f"{payload}-{name}-short", pdf(packed, b"/Filter" + SHORT[name]))
        put(f"{payload}-{name}-short-array", pdf(packed, b"/Filter[" + SHORT[name] + b"]"))
        put(f"{payload}-{name}-escaped", pdf(packed, b"/Filter/#%02x" % word[1] + word[2:]))
        put(f"{payload}-{name}-escaped-key", pdf(packed, b"/F#69lter" + word))
        put(f"{payload}-{name}-indirect", pdf(packed, b"/Filter 6 0 R", objects=((6, word),)))
        put(f"{payload}-{name}-indirect-in-array", pdf(packed, b"/Filter[6 0 R]", objects=((6, word),)))
        put(f"{payload}-{name}-indirect-array", pdf(packed, b"/Filter 6 0 R", objects=((6, b"[" + word + b"]"),)))
        put(f"{payload}-{name}-comment", pdf(packed, b"/Filter%words\n" + word))
        put(f"{payload}-{name}-length-indirect", pdf(packed, b"/Filter" + word, length=b"6 0 R", objects=((6, b"%d" % len(packed)),)))
        put(f"{payload}-{name}-length-missing", pdf(packed, b"/Filter" + word, length=b""))
        put(f"{payload}-{name}-length-short", pdf(packed, b"/Filter" + word, length=b"5"))
        put(f"{payload}-{name}-length-zero", pdf(packed, b"/Filter" + word, length=b"0"))
        put(f"{payload}-{name}-length-long", pdf(packed, b"/Filter" + word, length=b"99999"))
        put(f"{payload}-{name}-length-negative", pdf(packed, b"/Filter" + word, length=b"-1"))
        put(f"{payload}-{name}-crlf", pdf(packed, b"/Filter" + word, keyword=b"stream\r\n", after=b"\r\nendstream"))
        put(f"{payload}-{name}-cr", pdf(packed, b"/Filter" + word, keyword=b"stream\r", after=b"\rendstream"))
        put(f"{payload}-{name}-blanks", pdf(packed, b"/Filter" + word, keyword=b"\n stream  \n"))
        put(f"{payload}-{name}-end-glued", pdf(packed, b"/Filter" + word, after=b"endstream"))
        put(f"{payload}-{name}-no-end", pdf(packed, b"/Filter" + word, after=b""))
        put(f"{payload}-{name}-no-xref", pdf(packed, b"/Filter" + word, xref=False))
        put(f"{payload}-{name}-behind-words", b"just words\n" + pdf(packed, b"/Filter" + word))
        put(f"{payload}-{name}-header-late", b"\n" * 900 + pdf(packed, b"/Filter" + word))
        put(f"{payload}-{name}-header-odd", pdf(packed, b"/Filter" + word, header=b"%PDF-9.9words\n"))
        put(f"{payload}-{name}-header-none", pdf(packed, b"/Filter" + word, header=b"%!PS-Adobe-3.0 PDF-1.4\n"))
        put(f"{payload}-{name}-duplicate-first", pdf(packed, b"/Filter" + word + b"/Filter/DCTDecode"))
        put(f"{payload}-{name}-duplicate-last", pdf(packed, b"/Filter/DCTDecode/Filter" + word))
        put(f"{payload}-{name}-number", pdf(packed, b"/Filter" + word, number=100000))
        put(f"{payload}-{name}-crypt", pdf(packed, b"/Filter[/Crypt" + word + b"]/DecodeParms[<</Name/Identity>>null]"))
        put(f"{payload}-{name}-params-null", pdf(packed, b"/Filter" + word + b"/DecodeParms null"))
        put(f"{payload}-{name}-params-empty", pdf(packed, b"/Filter" + word + b"/DecodeParms<<>>"))
        put(f"{payload}-{name}-params-predictor-1", pdf(packed, b"/Filter" + word + b"/DecodeParms<</Predictor 1>>"))
        put(f"{payload}-{name}-image", pdf(packed, b"/Subtype/Image/Width 9/Height 9/BitsPerComponent 8/ColorSpace/DeviceGray/Filter" + word))
        put(f"{payload}-{name}-xobject", pdf(packed, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Filter" + word))
        put(f"{payload}-{name}-metadata", pdf(packed, b"/Type/Metadata/Subtype/XML/Filter" + word))
        put(f"{payload}-{name}-nested-dictionary", pdf(packed, b"/Params<</Size 9/CheckSum(>>stream\n)>>/Filter" + word))
        put(f"{payload}-{name}-name-of-stream", pdf(packed, b"/X(endobj stream endstream)/Filter" + word))
        for other, (other_word, other_pack) in FILTERS.items():
            put(f"{payload}-{other}-of-{name}", pdf(other_pack(packed), b"/Filter[" + other_word + word + b"]"))
        put(f"{payload}-{name}-deep", pdf(hexed(a85(hexed(a85(packed)))), b"/Filter[/ASCIIHexDecode/ASCII85Decode/ASCIIHexDecode/ASCII85Decode" + word + b"]"))
    flate = zlib.compress(content)
    for columns in (1, 17, 4):
        put(f"{payload}-predictor-{columns}", pdf(zlib.compress(predicted(content, columns)), b"/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns %d>>" % columns))
    put(f"{payload}-predictor-indirect", pdf(zlib.compress(predicted(content)), b"/Filter/FlateDecode/DecodeParms 6 0 R", objects=((6, b"<</Predictor 15/Columns 17>>"),)))
    put(f"{payload}-predictor-number-indirect", pdf(zlib.compress(predicted(content)), b"/Filter/FlateDecode/DecodeParms<</Predictor 6 0 R/Columns 17>>", objects=((6, b"15"),)))
    put(f"{payload}-predictor-image", pdf(zlib.compress(predicted(content)), b"/Subtype/Image/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 17>>"))
    put(f"{payload}-flate-damaged-end", pdf(flate[:-4], b"/Filter/FlateDecode"))
    put(f"{payload}-flate-raw", pdf(deflate(content), b"/Filter/FlateDecode"))
    put(f"{payload}-flate-blank-before", pdf(b"\r\n" + flate, b"/Filter/FlateDecode"))
    put(f"{payload}-flate-junk-after", pdf(flate + b"\n" * 20, b"/Filter/FlateDecode"))
    put(f"{payload}-hex-spaces", pdf(b" \n".join(content.hex().encode()[at:at + 2] for at in range(0, 2 * len(content), 2)) + b">", b"/Filter/ASCIIHexDecode"))
    put(f"{payload}-hex-odd", pdf(hexed(content + b"\x70")[:-2] + b">", b"/Filter/ASCIIHexDecode"))
    put(f"{payload}-a85-lines", pdf(b"\n".join(a85(content)[at:at + 20] for at in range(0, len(a85(content)), 20)), b"/Filter/ASCII85Decode"))
    put(f"{payload}-a85-mark", pdf(b"<~" + a85(content), b"/Filter/ASCII85Decode"))
    put(f"{payload}-update", pdf(b"words") + b"4 0 obj\n<</Length %d/Filter/FlateDecode>>stream\n" % len(flate) + flate + b"\nendstream\nendobj\nxref\n4 1\n%010d 00000 n \ntrailer<</Size 6/Root 1 0 R/Prev 9>>\nstartxref\n9\n%%%%EOF\n" % len(pdf(b"words")))
    put(f"{payload}-after-end", pdf(b"words") + b"4 0 obj\n<</Length %d/Filter/FlateDecode>>stream\n" % len(flate) + flate + b"\nendstream\nendobj\n")
    put(f"{payload}-javascript", pdf(flate, b"/Filter/FlateDecode", catalog=b"/OpenAction<</S/JavaScript/JS 4 0 R>>"))
    put(f"{payload}-xfa", pdf(flate, b"/Filter/FlateDecode", catalog=b"/AcroForm<</XFA 4 0 R/Fields[]>>"))
    with tempfile.TemporaryDirectory() as place:
        source, target = os.path.join(place, "in.pdf"), os.path.join(place, "out.pdf")
        with open(source, "wb") as file:
            file.write(pdf(flate, b"/Filter/FlateDecode"))
        for name, options in {
            "linear": ["--linearize"], "objects": ["--object-streams=generate"], "objects-only": ["--object-streams=generate", "--compress-streams=n"], "qdf": ["--qdf"], "old": ["--force-version=1.3", "--object-streams=disable"],
            "owner-40": ["--allow-weak-crypto", "--encrypt", "", "owner", "40", "--"], "owner-128": ["--allow-weak-crypto", "--encrypt", "", "owner", "128", "--use-aes=n", "--"], "owner-aes": ["--allow-weak-crypto", "--encrypt", "", "owner", "128", "--use-aes=y", "--"],
            "owner-256": ["--encrypt", "", "owner", "256", "--"], "user-256": ["--encrypt", "user", "owner", "256", "--"], "owner-40-plain": ["--allow-weak-crypto", "--stream-data=uncompress", "--encrypt", "", "owner", "40", "--"],
            "owner-256-plain": ["--stream-data=uncompress", "--encrypt", "", "owner", "256", "--"], "owner-256-objects": ["--object-streams=generate", "--encrypt", "", "owner", "256", "--"],
            "owner-aes-metadata": ["--allow-weak-crypto", "--encrypt", "", "owner", "128", "--cleartext-metadata", "--"],
        }.items():
            if run("qpdf", *options, source, target) is not None:
                with open(target, "rb") as file:
                    put(f"{payload}-qpdf-{name}", file.read())
# Readers differ about where a stream ends; a filter ends by itself.
def lengths(number):
    return {
        "reference": (b"6 0 R", b"%d" % number), "twice-first": (b"%d/Length 5" % number, None), "twice-last": (b"5/Length %d" % number, None), "comment": (b"%%5\n%d" % number, None), "comment-slash": (b"%%/\n%d" % number, None),
        "real": (b"%d.0" % number, None), "fraction": (b"%d.9" % number, None), "plus": (b"+%d" % number, None), "zeros": (b"000%d" % number, None), "reference-comment": (b"6%%x\n0 R", b"%d" % number), "value-comment": (b"6 0 R", b"%%5\n%d" % number),
        "value-twice": (b"6 0 R", b"5\nendobj\n6 0 obj\n%d" % number), "reference-of-reference": (b"6 0 R", b"7 0 R\nendobj\n7 0 obj\n%d" % number), "dangling": (b"9 0 R", None), "name": (b"/Length", None), "true": (b"%d" % number, None), "less": (b"%d" % (number - 5), None), "much-less": (b"%d" % (number - 5000), None),
    }


WITHIN = WORDS[:40] + b"\nendstream\nendobj\n" + MARKER + b"\nendstream and " + WORDS[:40]
for payload, content in dict(eicar=PAYLOAD, long=LONG, within=WITHIN).items():
    stored = zlib.compress(content, 0)
    cut = zlib.compress(content + b"\nendstream " + WORDS[:50], 0)
    for name, (length, value) in lengths(len(stored)).items():
        put(f"{payload}-stored-{name}", pdf(stored, b"/Filter/FlateDecode", length=length, objects=((6, value),) if value else ()))
    for name, (length, value) in lengths(7 + len(content)).items():
        put(f"{payload}-cut-{name}", pdf(cut, b"/Filter/FlateDecode", length=length, objects=((6, value),) if value else ()))
    for name, (length, value) in lengths(len(content)).items():
        objects = ((6, value),) if value else ()
        put(f"{payload}-unpacked-{name}", pdf(content, length=length, objects=objects))
        put(f"{payload}-unpacked-cut-{name}", pdf(content + b"\nendstream\n" + WORDS[:50], length=length, objects=objects))
    row = zlib.compress(predicted(content))
    parameters = (6, b"<</Predictor 15/Columns 17>>")
    for name, words in {
        "table": b"/Type/XRef/W[1 2 1]/Size 9", "table-words": b"/XRef 1/W 1/Size 1", "table-in-string": b"/X(/XRef /W /Size)", "image": b"/Subtype/Image/Width 9/Height 9", "image-hidden": b"/X(9 0 obj)/Subtype/Image", "string": b"/X(9 0 obj)", "comment": b"%9 0 obj\n",
    }.items():
        kept = pdf(row, words + b"/Filter/FlateDecode/DecodeParms 6 0 R", objects=(parameters,))
        put(f"{payload}-parameters-{name}", kept)
        put(f"{payload}-parameters-{name}-plain", kept.replace(b"/Type/EmbeddedFile", b""))
        put(f"{payload}-parameters-{name}-indirect-files", kept.replace(b"/Type/EmbeddedFile", b"").replace(b"/EF<</F 4 0 R>>", b"/EF 7 0 R").replace(b"5 0 obj\n", b"7 0 obj\n<</F 4 0 R>>\nendobj\n5 0 obj\n"))
    for name, parameters in {
        "array": b"/Filter[/FlateDecode]/DecodeParms[6 0 R]", "array-null": b"/Filter[/ASCIIHexDecode/FlateDecode]/DecodeParms[null 6 0 R]", "array-other": b"/Filter[/ASCIIHexDecode/FlateDecode]/DecodeParms[<</EarlyChange 1>>6 0 R]", "comment": b"/Filter/FlateDecode/DecodeParms%/\n6 0 R",
        "short": b"/Filter/FlateDecode/DP 6 0 R", "twice": b"/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 4/Columns 17>>", "twice-parameters": b"/Filter/FlateDecode/DecodeParms<<>>/DecodeParms<</Predictor 15/Columns 17>>", "real": b"/Filter/FlateDecode/DecodeParms<</Predictor 15.0/Columns 17.0>>",
        "early": b"/Filter/FlateDecode/DecodeParms<</Columns 17/Predictor 15>>", "short-filter": b"/F/FlateDecode/DP<</Predictor 15/Columns 17>>", "far": b"/X(" + b"x" * 70000 + b")/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 17>>/Y(" + b"x" * 70000 + b")",
    }.items():
        packed = hexed(row) if b"Hex" in parameters else row
        put(f"{payload}-predicted-{name}", pdf(packed, parameters, objects=((6, b"<</Predictor 15/Columns 17>>"),)))
    text = content.hex().encode()
    put(f"{payload}-hex-illegal-skipped", pdf(text[:20] + b"y" + text[20:] + b">", b"/Filter/ASCIIHexDecode"))
    put(f"{payload}-hex-illegal-end", pdf(text + b"y6>", b"/Filter/ASCIIHexDecode"))
    put(f"{payload}-hex-illegal-zero", pdf(text.replace(b"0", b"y") + b">", b"/Filter/ASCIIHexDecode"))
    put(f"{payload}-hex-illegal-behind", pdf(text + b"> y", b"/Filter/ASCIIHexDecode"))
    put(f"{payload}-a85-illegal-end", pdf(a85(content)[:-2] + b"}}}~>", b"/Filter/ASCII85Decode"))
    put(f"{payload}-a85-illegal-skipped", pdf(a85(content)[:20] + b"}" + a85(content)[20:], b"/Filter/ASCII85Decode"))
    put(f"{payload}-a85-no-end", pdf(a85(content)[:-2], b"/Filter/ASCII85Decode"))
    put(f"{payload}-flate-no-header", pdf(deflate(content), b"/Filter/FlateDecode"))
    put(f"{payload}-flate-odd-header", pdf(b"xx" + deflate(content), b"/Filter/FlateDecode"))
    bits = "".join(f"{byte:08b}" for byte in lzw(content[:200]))[9:]
    put(f"{payload}-lzw-not-cleared", pdf(bytes(int(bits[at:at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)), b"/Filter/LZWDecode"))
put("clean-plain", pdf(WORDS))
for name, (word, pack) in FILTERS.items():
    put(f"clean-{name}", pdf(pack(WORDS), b"/Filter" + word))
for name in ("reference", "true"):
    length, value = lengths(len(zlib.compress(WORDS)))[name]
    put(f"clean-length-{name}", pdf(zlib.compress(WORDS), b"/Filter/FlateDecode", length=length, objects=((6, value),) if value else ()))
put("clean-image", pdf(zlib.compress(predicted(noise(900))), b"/Subtype/Image/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 17>>"))
# Deflated data that ends in an error, behind which lax readers go on.
def blocks(content, width, odd):
    pieces = [content[at:at + width] for at in range(0, len(content), width)]
    headers = [struct.pack("<BHH", n == len(pieces) - 1, len(piece), ~len(piece) & 0xFFFF ^ (n == odd)) for n, piece in enumerate(pieces)]
    return b"\x78\x01" + b"".join(map(bytes.__add__, headers, pieces)) + struct.pack(">I", zlib.adler32(content))


for payload, content in dict(eicar=PAYLOAD, long=LONG).items():
    for odd in (0, 1, 9):
        put(f"{payload}-complement-{odd}", pdf(blocks(content, 60, odd), b"/Filter/FlateDecode"))
        put(f"{payload}-complement-{odd}-hex", pdf(hexed(blocks(content, 60, odd)), b"/Filter[/ASCIIHexDecode/FlateDecode]"))
        put(f"{payload}-complement-{odd}-predicted", pdf(blocks(predicted(content), 60, odd), b"/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 17>>"))


def metadata(packed):
    """What readers print as the document's metadata."""
    stream = b"<</Type/Metadata/Subtype/XML/Filter/FlateDecode/Length %d>>\nstream\n" % len(packed) + packed + b"\nendstream"
    objects = [b"<</Type/Catalog/Pages 2 0 R/Metadata 3 0 R>>", b"<</Type/Pages/Kids[4 0 R]/Count 1>>", stream, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"]
    return b"%PDF-1.7\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, text) for number, text in enumerate(objects, 1)) + b"trailer\n<</Size 5/Root 1 0 R>>\n%%EOF\n"


def stored(content, last, damage):
    return bytes([last]) + struct.pack("<HH", len(content), len(content) ^ 0xFFFF ^ damage) + content


behind = zlib.compressobj(9, zlib.DEFLATED, -15)
behind = behind.compress(LONG) + behind.flush()
for name, packed in dict(cut=zlib.compress(LONG + noise(3000))[:2000], sum=zlib.compress(LONG)[:-1] + b"x", complement=b"\x78\1" + stored(LONG, 1, 1), behind=b"\x78\1" + stored(WORDS, 0, 1) + behind, before=b"\x78\1" + stored(LONG, 0, 0) + b"\7" + noise(30), window=bytes([0x98, -0x9800 % 31]) + zlib.compress(LONG)[2:]).items():
    put(f"metadata-{name}", metadata(packed))
