"""PDF that an empty password opens: as tools write it, and by the standard's ciphers with dictionaries and tables on which readers differ."""
import hashlib, os, struct, sys, tempfile, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

LONG = WORDS + MARKER + WORDS
PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def rc4(key, content):
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 255
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in content:
        i = (i + 1) & 255
        j = (j + state[i]) & 255
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) & 255])
    return bytes(out)


def md5(content):
    return hashlib.md5(content).digest()


class Cipher:
    """RC4 of any length, with an empty user password."""
    def __init__(self, version=2, revision=3, length=16, identifier=b"identifier of 16", metadata=True, owner=b"o" * 32, permissions=-4):
        self.version, self.revision, self.length, self.metadata = version, revision, length, metadata
        key = md5(PADDING + owner + struct.pack("<i", permissions) + identifier + (b"" if metadata or revision < 4 else b"\xFF" * 4))
        if revision >= 3:
            for _ in range(50):
                key = md5(key[:length])
        self.key, self.owner, self.written = key[:length], owner, b"%d" % permissions
        if revision == 2:
            self.user = rc4(self.key, PADDING)
        else:
            shown = md5(PADDING + identifier)
            for n in range(20):
                shown = rc4(bytes(byte ^ n for byte in self.key), shown)
            self.user = shown + bytes(16)

    def of(self, content, number, generation=0):
        key = self.key + struct.pack("<I", number)[:3] + struct.pack("<H", generation)
        return rc4(md5(key)[:min(len(self.key) + 5, 16)], content)

    def dictionary(self, more=b"", length=None):
        length = b"/Length %d" % (8 * self.length) if length is None else length
        return b"<</Filter/Standard/V %d/R %d" % (self.version, self.revision) + length + b"/P %s/O<%s>/U<%s>" % (self.written, self.owner.hex().encode(), self.user.hex().encode()) + more + b">>"


IDENTIFIER = b"/ID[<" + b"identifier of 16".hex().encode() + b"><00>]"


def table(places, number=None):
    """Runs of lines, each of a number, its place and its generation."""
    out = b"xref\n"
    for number, (place, generation, kind) in sorted(places.items()):
        out += b"%d 1\n%010d %05d %s \n" % (number, place, generation, kind)
    return out


def pdf(cipher, stream, dictionary=b"/Type/EmbeddedFile", encrypted=True, number=4, keyed=None, generation=0, line=None, encrypt=b"/Encrypt 6 0 R", identifier=IDENTIFIER, more=b"", length=None, free=False, objects=(), trailer=b"", between=b"", header=b"%PDF-1.7\n", size=None, filespec=None):
    """A document whose attachment is `stream`. `keyed` is the number and the generation that its key is of; `line` what the table says of it."""
    content = cipher.of(stream, *(keyed or (number, generation))) if encrypted else stream
    name = cipher.of(b"a.bin", 5).hex().encode()
    referred = line[0] if line else number
    parts = [
        (1, 0, b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[<%s>5 0 R]>>>>>>" % cipher.of(b"a", 1).hex().encode()),
        (2, 0, b"<</Type/Pages/Kids[3 0 R]/Count 1>>"),
        (3, 0, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<<>>>>"),
        (number, generation, b"<</Length %d" % (len(content) if size is None else size) + dictionary + b">>\nstream\n" + content + b"\nendstream"),
        (5, 0, filespec or b"<</Type/Filespec/F<%s>/UF<%s>/EF<</F %d %d R>>>>" % (name, name, referred, line[1] if line else generation)),
        (6, 0, cipher.dictionary(more, length)),
        *objects,
    ]
    out, places = header, {0: (0, 65535, b"f")}
    for n, g, content in parts:
        places[n] = (len(out), g, b"n")
        out += b"%d %d obj\n" % (n, g) + content + b"\nendobj\n" + between
    if line:
        places[line[0]] = (places[number][0], line[1], b"n")
        if line[0] != number:
            del places[number]
    if free:
        places[6] = (0, 1, b"f")
    start = len(out)
    return out + table(places) + b"trailer\n<</Size %d/Root 1 0 R%s%s%s>>\nstartxref\n%d\n%%%%EOF\n" % (max(places) + 1, encrypt, identifier, trailer, start)


def update(document, objects, trailer):
    """What was written behind a document."""
    previous = document[document.rfind(b"startxref\n") + 10:].split()[0]
    out, places = document, {}
    for n, g, content in objects:
        places[n] = (len(out), g, b"n")
        out += b"%d %d obj\n" % (n, g) + content + b"\nendobj\n"
    start = len(out)
    return out + table(places) + b"trailer\n<</Size 20/Root 1 0 R/Prev %s%s>>\nstartxref\n%d\n%%%%EOF\n" % (previous, trailer, start)


FILTERS = b"/CF<</StdCF<</AuthEvent/DocOpen/CFM/V2/Length 16>>>>"
ALL = FILTERS + b"/StmF/StdCF/StrF/StdCF"
FILES = FILTERS + b"/EFF/StdCF"
for payload, content in dict(eicar=PAYLOAD, long=LONG, clean=WORDS).items():
    sure = "clean" if payload == "clean" else payload
    flate = zlib.compress(content)
    file = b"/Type/EmbeddedFile/Filter/FlateDecode"
    plain, four = Cipher(), Cipher(4, 4)
    # As the standard has it: ordinary files, if nothing is in them.
    for name, cipher, more in [
        ("40", Cipher(1, 2, 5), b""), ("40-length-3", Cipher(2, 3, 5), b""), ("56", Cipher(2, 3, 7), b""), ("128", plain, b""), ("4", four, ALL), ("4-metadata", Cipher(4, 4, metadata=False), ALL + b"/EncryptMetadata false"),
    ]:
        put(f"{sure}-{name}", pdf(cipher, flate, file, more=more))
        put(f"{sure}-{name}-unpacked", pdf(cipher, content, more=more))
        cipher.written = b"4294967292"
        put(f"{sure}-{name}-permissions", pdf(cipher, flate, file, more=more))
        cipher.written = b"-4"
    put(f"{sure}-direct", pdf(plain, flate, file, encrypt=b"/Encrypt" + plain.dictionary()))
    put(f"{sure}-no-identifier", pdf(Cipher(identifier=b""), flate, file, identifier=b""))
    put(f"{sure}-comments", pdf(plain, flate, file, between=b"% words\n"))
    put(f"{sure}-updated", update(pdf(plain, flate, file), [(7, 0, b"<<>>")], b"/Encrypt 6 0 R" + IDENTIFIER))
    put(f"{sure}-update", update(pdf(plain, b"words"), [(4, 0, b"<</Length %d%s>>\nstream\n" % (len(flate), file) + plain.of(flate, 4) + b"\nendstream")], b"/Encrypt 6 0 R" + IDENTIFIER))
    put(f"{sure}-generation", pdf(plain, flate, file, generation=3))
    put(f"{sure}-filter-identity", pdf(four, flate, b"/Type/EmbeddedFile/Filter[/Crypt/FlateDecode]/DecodeParms[<</Name/Identity>>null]", encrypted=False, more=ALL))
    put(f"{sure}-filter-none-named", pdf(four, content, b"/Type/EmbeddedFile/Filter/Crypt", encrypted=False, more=ALL))
    put(f"{sure}-filter-named", pdf(four, flate, b"/Type/EmbeddedFile/Filter[/Crypt/FlateDecode]/DecodeParms[<</Type/CryptFilterDecodeParms/Name/StdCF>>null]", more=FILTERS))
    put(f"{sure}-files-alone", pdf(four, flate, file, more=FILES))
    put(f"{sure}-streams-alone", pdf(four, flate, file, more=FILTERS + b"/StmF/StdCF"))
    put(f"{sure}-streams-but-files", pdf(four, flate, file, encrypted=False, more=FILTERS + b"/StmF/StdCF/EFF/Identity"))
    if payload == "clean":
        continue
    # Readers differ, or nobody writes it so.
    put(f"{payload}-files-of-no-type", pdf(four, flate, b"/Filter/FlateDecode", more=FILES))
    put(f"{payload}-files-in-plain", pdf(four, flate, file, encrypted=False, more=FILES))
    for name, encrypted in dict(encrypted=True, plain=False).items():
        this = dict(encrypted=encrypted)
        put(f"{payload}-{name}-metadata", pdf(Cipher(4, 4, metadata=False), flate, b"/Type/Metadata/Subtype/XML/Filter/FlateDecode", more=ALL + b"/EncryptMetadata false", **this))
        put(f"{payload}-{name}-metadata-all", pdf(four, flate, b"/Type/Metadata/Subtype/XML/Filter/FlateDecode", more=ALL, **this))
        put(f"{payload}-{name}-metadata-old", pdf(plain, flate, b"/Type/Metadata/Subtype/XML/Filter/FlateDecode", more=b"/EncryptMetadata false", **this))
        put(f"{payload}-{name}-table", pdf(plain, flate, b"/Type/XRef/W[1 2 1]/Size 3/Filter/FlateDecode", **this))
        put(f"{payload}-{name}-table-4", pdf(four, flate, b"/Type/XRef/W[1 2 1]/Size 3/Filter/FlateDecode", more=ALL, **this))
        put(f"{payload}-{name}-table-words", pdf(plain, flate, file + b"/X/XRef", **this))
        put(f"{payload}-{name}-image", pdf(plain, flate, b"/Subtype/Image/Width 9/Height 9/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/FlateDecode", **this))
        put(f"{payload}-{name}-filter-last", pdf(four, flate, b"/Type/EmbeddedFile/Filter[/FlateDecode/Crypt]/DecodeParms[null<</Name/Identity>>]", more=ALL, **this))
        put(f"{payload}-{name}-filter-unknown", pdf(four, flate, b"/Type/EmbeddedFile/Filter[/Crypt/FlateDecode]/DecodeParms[<</Name/Nobody>>null]", more=ALL, **this))
        put(f"{payload}-{name}-filter-old", pdf(plain, flate, b"/Type/EmbeddedFile/Filter[/Crypt/FlateDecode]/DecodeParms[<</Name/Identity>>null]", **this))
        put(f"{payload}-{name}-filter-no-parameters", pdf(four, flate, b"/Type/EmbeddedFile/Filter[/Crypt/FlateDecode]", more=ALL, **this))
        put(f"{payload}-{name}-filter-one-dictionary", pdf(four, flate, b"/Type/EmbeddedFile/Filter[/Crypt/FlateDecode]/DecodeParms<</Name/Identity>>", more=ALL, **this))
        put(f"{payload}-{name}-filter-identity-named", pdf(four, flate, file, more=b"/CF<</Identity<</CFM/V2/Length 16>>>>/StmF/Identity/StrF/Identity", **this))
        put(f"{payload}-{name}-method-none", pdf(four, flate, file, more=b"/CF<</StdCF<</CFM/None/Length 16>>>>/StmF/StdCF/StrF/StdCF", **this))
        put(f"{payload}-{name}-method-missing", pdf(four, flate, file, more=b"/CF<</StdCF<</Length 16>>>>/StmF/StdCF/StrF/StdCF", **this))
        put(f"{payload}-{name}-filter-missing", pdf(four, flate, file, more=b"/StmF/StdCF/StrF/StdCF", **this))
        put(f"{payload}-{name}-encrypt-free", pdf(plain, flate, file, free=True, **this))
        put(f"{payload}-{name}-encrypt-missing", pdf(plain, flate, file, encrypt=b"/Encrypt 9 0 R", **this))
        put(f"{payload}-{name}-encrypt-null", pdf(plain, flate, file, encrypt=b"/Encrypt null", **this))
        put(f"{payload}-{name}-encrypt-generation", pdf(plain, flate, file, encrypt=b"/Encrypt 6 1 R", **this))
        put(f"{payload}-{name}-encrypt-twice", pdf(plain, flate, file, encrypt=b"/Encrypt 6 0 R/Encrypt null", **this))
        put(f"{payload}-{name}-encrypt-twice-escaped", pdf(plain, flate, file, encrypt=b"/Encrypt 6 0 R/Encr#79pt null", **this))
        put(f"{payload}-{name}-encrypt-escaped", pdf(plain, flate, file, encrypt=b"/Encr#79pt 6 0 R", **this))
        put(f"{payload}-{name}-encrypt-comment", pdf(plain, flate, file, encrypt=b"/Encrypt%x\n6 0 R", **this))
        put(f"{payload}-{name}-encrypt-in-catalog", pdf(plain, flate, file, encrypt=b"", trailer=b"/X<</Encrypt 6 0 R>>", **this))
        put(f"{payload}-{name}-update-without", update(pdf(plain, flate, file, **this), [(7, 0, b"<<>>")], IDENTIFIER))
        put(f"{payload}-{name}-update-null", update(pdf(plain, flate, file, **this), [(7, 0, b"<<>>")], IDENTIFIER + b"/Encrypt null"))
        put(f"{payload}-{name}-update-with", update(pdf(plain, flate, file, encrypt=b"", **this), [(7, 0, b"<<>>")], IDENTIFIER + b"/Encrypt 6 0 R"))
        put(f"{payload}-{name}-update-other", update(pdf(plain, flate, file, **this), [(7, 0, Cipher(owner=b"x" * 32).dictionary())], IDENTIFIER + b"/Encrypt 7 0 R"))
        put(f"{payload}-{name}-update-dictionary", update(pdf(plain, flate, file, **this), [(6, 0, Cipher(owner=b"x" * 32).dictionary())], IDENTIFIER + b"/Encrypt 6 0 R"))
        put(f"{payload}-{name}-update-no-more", update(pdf(plain, flate, file, **this), [(6, 0, b"null")], IDENTIFIER + b"/Encrypt 6 0 R"))
        put(f"{payload}-{name}-update-stream", update(pdf(plain, b"words"), [(4, 0, b"<</Length %d%s>>\nstream\n" % (len(flate), file) + (plain.of(flate, 4) if encrypted else flate) + b"\nendstream")], IDENTIFIER))
        put(f"{payload}-{name}-trailer-behind", pdf(plain, flate, file, **this) + b"trailer\n<</Size 7/Root 1 0 R>>\n")
        put(f"{payload}-{name}-trailer-behind-end", pdf(plain, flate, file, **this) + b"trailer\n<</Size 7/Root 1 0 R>>\nstartxref\n9\n%%EOF\n")
        put(f"{payload}-{name}-hidden-trailer", pdf(plain, flate, file, between=b"%trailer<</Size 7/Root 1 0 R>>\n", **this))
    for name, options in {
        "number": dict(keyed=(9, 0), line=(9, 0)), "number-own": dict(line=(9, 0)), "generation": dict(keyed=(4, 1), line=(4, 1)), "generation-own": dict(line=(4, 1)), "generation-far": dict(generation=3, keyed=(4, 0), line=(4, 0)), "number-large": dict(number=16777220), "number-short": dict(number=16777220, keyed=(4, 0)),
        "identifier-other": dict(identifier=b"/ID[<00><00>]"), "identifier-literal": dict(identifier=b"/ID[(identifier of 16)(x)]"), "identifier-octal": dict(identifier=b"/ID[(\\151dentifier\\\n of 16)(x)]"), "identifier-twice": dict(identifier=IDENTIFIER + b"/ID[<00><00>]"), "identifier-reference": dict(identifier=b"/ID 7 0 R", objects=[(7, 0, b"[(identifier of 16)(x)]")]),
        "length-missing": dict(length=b""), "length-other": dict(length=b"/Length 40"), "length-bytes": dict(length=b"/Length 16"), "length-twice": dict(length=b"/Length 40/Length 128"), "length-reference": dict(length=b"/Length 7 0 R", objects=[(7, 0, b"128")]), "metadata": dict(more=b"/EncryptMetadata false"), "handler": dict(more=b"/SubFilter/x"),
        "stream-short": dict(size=3), "stream-long": dict(size=9999), "stream-reference": dict(), "words-before": dict(header=b"words\n%PDF-1.7\n"), "header-none": dict(header=b""), "words-between": dict(between=b"words\n"), "object-between": dict(between=b"4 0 obj\n"),
    }.items():
        put(f"{payload}-odd-{name}", pdf(plain, flate, file, **options))
        put(f"{payload}-odd-{name}-unpacked", pdf(plain, content, **options))
    for version, revision, length in ((1, 3, 5), (1, 2, 16), (1, 3, 16), (2, 2, 5), (2, 2, 16), (2, 4, 16), (3, 3, 16), (4, 3, 16), (4, 4, 5), (4, 4, 7), (0, 3, 5)):
        cipher = Cipher(version, revision, length)
        put(f"{payload}-version-{version}-{revision}-{length}", pdf(cipher, flate, file, more=ALL if version == 4 else b""))
        put(f"{payload}-version-{version}-{revision}-{length}-no-length", pdf(cipher, flate, file, more=ALL if version == 4 else b"", length=b""))
    put(f"{payload}-user-password", pdf(plain, flate, file).replace(plain.user.hex().encode(), b"00" * 32))
# As tools write them.
SOURCES = dict(eicar=PAYLOAD, long=LONG, clean=WORDS)
KINDS = {
    "40": ["40", "--"], "128": ["128", "--use-aes=n", "--"], "4": ["128", "--force-V4", "--use-aes=n", "--"], "aes": ["128", "--use-aes=y", "--"], "aes-metadata": ["128", "--use-aes=y", "--cleartext-metadata", "--"],
    "5": ["256", "--force-R5", "--"], "6": ["256", "--"], "6-metadata": ["256", "--cleartext-metadata", "--"],
}
FORMS = {"": [], "objects": ["--object-streams=generate"], "linear": ["--linearize"], "linear-objects": ["--linearize", "--object-streams=generate"], "unpacked": ["--stream-data=uncompress"]}
with tempfile.TemporaryDirectory() as place:
    source, target = os.path.join(place, "in.pdf"), os.path.join(place, "out.pdf")
    for payload, content in SOURCES.items():
        document = pdf(Cipher(), zlib.compress(content), b"/Type/EmbeddedFile/Filter/FlateDecode", encrypted=False, encrypt=b"")
        with open(source, "wb") as file:
            file.write(document)
        for kind, options in KINDS.items():
            for form, more in FORMS.items():
                for password in ("", "user"):
                    name = f"malware-user-{payload}" if password else payload
                    if run("qpdf", *more, "--allow-weak-crypto", "--encrypt", password, "owner", *options, source, target) is not None:
                        with open(target, "rb") as file:
                            put(f"{name}-qpdf-{kind}-{form}", file.read())
        for kind in ("rc4-40", "rc4-128", "aes-128", "aes-256"):
            if run("mutool", "clean", "-E", kind, "-O", "owner", source, target) is not None:
                with open(target, "rb") as file:
                    put(f"{payload}-mutool-{kind}", file.read())
