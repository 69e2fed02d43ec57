"""Mail: ordinary forms, and those that readers of mail read differently."""
import base64, binascii, io, quopri, sys, zipfile
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *


def zipped(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", content)
    return out.getvalue()


def b64(content, width=76, end="\r\n"):
    text = base64.b64encode(content).decode()
    return end.join(text[at:at + width] for at in range(0, len(text), width)) + end


def uu(content, name="eicar.com"):
    lines = [binascii.b2a_uu(content[at:at + 45]).decode().rstrip("\n") for at in range(0, len(content), 45)]
    return "\r\n".join([f"begin 644 {name}", *lines, "`", "end", ""])


def qp(content):
    return quopri.encodestring(content, quotetabs=True).decode().replace("\n", "\r\n")


HEAD = "From: a@example.org\r\nTo: b@example.org\r\nSubject: words\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
TEXT = "Content-Type: text/plain\r\n\r\njust some words\r\n"
SECRET = PAYLOAD
PIECE = b64(SECRET)
OCTETS = "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"eicar.com\"\r\n"
ATTACHED = OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + PIECE


def mail(content_type, body, head=HEAD):
    return head + content_type + "\r\n\r\n" + body


def multipart(boundary="=_words", shown=None, parts=(TEXT, ATTACHED), kind="mixed", preamble="", end=True, head=HEAD, before="--", line="\r\n"):
    """A mail in parts; `shown` is how its header writes the boundary's parameter."""
    shown = f'boundary="{boundary}"' if shown is None else shown
    body = preamble + "".join(f"{before}{boundary}{line}{part}\r\n" for part in parts)
    return mail(f"Content-Type: multipart/{kind}; {shown}", body + (f"--{boundary}--\r\n" if end else ""), head)


cases = {}
cases["plain"] = multipart()
for name, kind in dict(alternative="alternative", digest="digest", related="related", parallel="parallel", signed="signed", report="report", unknown="x-words", upper="MIXED").items():
    cases["kind-" + name] = multipart(kind=kind)
# How the boundary is written.
for name, (boundary, shown) in dict(
    bare=("words", "boundary=words"), quoted_pair=("BB", 'boundary="B\\B"'), quoted_quote=('B"B', 'boundary="B\\"B"'),
    single=("'words'", "boundary='words'"), blank=("a b", 'boundary="a b"'), spaces=("words", "boundary = words"),
    spaces_quoted=("words", 'boundary = "words"'), tab=("words", "\tboundary\t=\twords"), upper=("words", "BOUNDARY=words"),
    folded=("words", "\r\n boundary=\r\n words"), folded_tab=("words", "\r\n\tboundary=\"words\""), rfc2231=("words", "boundary*=us-ascii'en'words"),
    rfc2231_percent=("wo rds", "boundary*=us-ascii'en'wo%20rds"), pieces=("wordswords", "boundary*0=words; boundary*1=words"),
    pieces_quoted=("wordswords", 'boundary*0="words"; boundary*1="words"'), pieces_encoded=("words words", "boundary*0*=us-ascii'en'words%20; boundary*1=words"),
    pieces_swapped=("abcd", "boundary*1=cd; boundary*0=ab"), comment=("words", "(a comment) boundary=words"), comment_after=("words", "boundary=words (a comment)"),
    comment_with=("words", "(boundary=other) boundary=words"), twice_first=("words", "boundary=words; boundary=other"), twice_last=("words", "boundary=other; boundary=words"),
    others=("words", 'charset="us-ascii"; x="boundary=other"; boundary=words'), others_quoted=("words", "x=\"a;boundary=no\"; boundary=words"),
    semicolon=("words", ";; boundary=words;"), long=("w" * 70, None), longer=("w" * 200, None), longest=("w" * 1200, None), dashes=("--words", None), plus=("=_+'()/:?,.", None),
    equals=("a=b", "boundary=a=b"), unended=("words", 'boundary="words'), eight_bit=("wörds", 'boundary="wörds"'), empty=("", 'boundary=""'), prefix=("words", "xboundary=other; boundary=words"),
    no_blank=("words", "boundary=words;charset=x"), slash=("a/b", "boundary=a/b"), trailing=("words", "boundary=\"words \""), leading=(" words", None), numbers=("1", "boundary=1"),
    encoded_word=("words", "boundary==?us-ascii?q?words?="),
).items():
    cases["boundary-" + name] = multipart(boundary, shown)
cases["boundary-line-blanks"] = multipart("words", line="   \r\n")
cases["boundary-line-tab"] = multipart("words", line="\t\r\n")
cases["boundary-line-lf"] = multipart("words", line="\n")
cases["boundary-no-end"] = multipart("words", end=False)
cases["boundary-prefix-of-other"] = multipart("words", parts=(TEXT, multipart("wordsmore", head="").lstrip()))
cases["boundary-same-inside"] = multipart("words", parts=(TEXT, multipart("words", head="").lstrip()))
cases["boundary-in-text-first"] = multipart("words", parts=("Content-Type: text/plain\r\n\r\n--other\r\n--wordsmore\r\nwords", ATTACHED))
cases["preamble"] = multipart(preamble="This is a mail in parts.\r\n\r\n")
cases["preamble-long"] = multipart(preamble="words\r\n" * 5000)
cases["preamble-headers"] = multipart(preamble="Content-Type: text/plain\r\n\r\nwords\r\n")
cases["first-part-without-headers"] = multipart(parts=("\r\njust words\r\n", ATTACHED))
cases["only-part"] = multipart(parts=(ATTACHED,))
cases["after-the-end"] = multipart() + "words\r\n"
cases["epilogue-parts"] = multipart(parts=(TEXT,)) + "--=_words\r\n" + ATTACHED
cases["parts-many"] = multipart(parts=(TEXT,) * 300 + (ATTACHED,))
cases["parts-very-many"] = multipart(parts=("\r\nwords",) * 3000 + (ATTACHED,))
# How deep.
deep = ATTACHED
for level in range(1, 13):
    deep = multipart(f"level{level}", parts=(TEXT, deep), head="").lstrip()
    cases[f"deep-{level}"] = HEAD + deep
inner = multipart()
for level in range(1, 9):
    inner = multipart(f"message{level}", parts=(TEXT, "Content-Type: message/rfc822\r\n\r\n" + inner))
    cases[f"forwarded-{level}"] = inner
cases["forwarded-base64"] = multipart(parts=(TEXT, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(multipart("inner").encode())))
cases["forwarded-qp"] = multipart(parts=(TEXT, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(multipart("inner").encode())))
cases["forwarded-attachment"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + b64(multipart("inner").encode())))
cases["forwarded-global"] = multipart(parts=(TEXT, "Content-Type: message/global\r\n\r\n" + multipart("inner")))
cases["forwarded-alone"] = mail("Content-Type: message/rfc822", multipart("inner"))
cases["headers-rfc822"] = multipart(parts=(TEXT, "Content-Type: text/rfc822-headers\r\n\r\n" + multipart("inner")))
# How content is encoded.
for name, encoding in dict(upper="BASE64", blank="  base64  ", comment="base64 (words)", comment_first="(words) base64", quoted='"base64"', semicolon="base64;", folded="\r\n base64",
                           extended="x-base64", none="", twice="base64, base64", eight="8bit", word="=?us-ascii?q?base64?=", dash="base-64", nul="base64\0", tab="\tbase64").items():
    cases["encoding-" + name] = multipart(parts=(TEXT, OCTETS + f"Content-Transfer-Encoding: {encoding}\r\n\r\n" + PIECE))
cases["encoding-blank-before-colon"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding : base64\r\n\r\n" + PIECE))
cases["encoding-no-blank"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding:base64\r\n\r\n" + PIECE))
cases["encoding-lower-name"] = multipart(parts=(TEXT, OCTETS + "content-transfer-encoding: base64\r\n\r\n" + PIECE))
cases["encoding-two-first"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + PIECE))
cases["encoding-two-last"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n" + PIECE))
cases["encoding-before-type"] = multipart(parts=(TEXT, "Content-Transfer-Encoding: base64\r\n" + OCTETS + "\r\n" + PIECE))
cases["encoding-only"] = multipart(parts=(TEXT, "Content-Transfer-Encoding: base64\r\n\r\n" + PIECE))
cases["encoding-of-the-multipart"] = mail('Content-Transfer-Encoding: base64\r\nContent-Type: multipart/mixed; boundary="words"', f"--words\r\n{TEXT}\r\n--words\r\n{ATTACHED}\r\n--words--\r\n")
cases["qp"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(SECRET)))
cases["qp-all"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + "".join(f"={byte:02X}" + ("=\r\n" if at % 20 == 19 else "") for at, byte in enumerate(SECRET))))
cases["qp-lower"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + "".join(f"={byte:02x}" + ("= \r\n" if at % 20 == 19 else "") for at, byte in enumerate(SECRET))))
cases["qp-zip"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + qp(zipped(SECRET))))
cases["7bit"] = multipart(parts=(TEXT, OCTETS + "\r\n" + SECRET.decode()))
cases["8bit-zip"] = None
cases["uu-part"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: x-uuencode\r\n\r\n" + uu(SECRET)))
cases["uu-part-other"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: uuencode\r\n\r\n" + uu(SECRET)))
cases["uu-x-uue"] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: x-uue\r\n\r\n" + uu(SECRET)))
cases["uu-in-text"] = HEAD + "\r\nwords\r\n" + uu(SECRET) + "words\r\n"
cases["uu-in-text-part"] = multipart(parts=("Content-Type: text/plain\r\n\r\nwords\r\n\r\n" + uu(SECRET),))
cases["uu-in-text-twice"] = HEAD + "\r\nwords\r\n" + uu(WORDS, "words.txt") + "\r\n" + uu(SECRET)
cases["uu-in-html"] = multipart(parts=("Content-Type: text/html\r\n\r\n<p>words</p>\r\n\r\n" + uu(SECRET),))
cases["uu-alone"] = uu(SECRET)
cases["uu-behind-words"] = "just some words\r\n\r\n" + uu(SECRET)
cases["uu-mode"] = uu(SECRET).replace("begin 644", "begin 0600")
cases["uu-base64"] = "begin-base64 644 eicar.com\n" + b64(SECRET, end="\n") + "====\n"
for name, text in dict(one_line=b64(SECRET, 10000), narrow=b64(SECRET, 4), narrowest=b64(SECRET, 1), odd=b64(SECRET, 7), blank_lines=b64(SECRET, 20).replace("\r\n", "\r\n\r\n"), blanks=b64(SECRET, 20, " \r\n"),
                       indented="  " + b64(SECRET, 20, "\r\n  "), junk="!" + b64(SECRET, 16, "*\r\n"), dots=".".join(b64(SECRET, 4, "\r\n").split("\r\n")), no_padding=b64(SECRET).replace("=", ""),
                       more_padding=b64(SECRET).replace("=", "===="), lf=b64(SECRET, 76, "\n"), cr=b64(SECRET, 76, "\r"), stop_in_the_middle=b64(SECRET[:30]) + b64(SECRET[30:]), quoted="> " + b64(SECRET, 76, "\r\n> "),
                       text_after=b64(SECRET) + "\r\n\r\njust words\r\n", dashes_after=b64(SECRET) + "\r\n----\r\n", url=b64(SECRET).replace("+", "-").replace("/", "_"), high="é".join(b64(SECRET, 12, "\r\n").split("\r\n")),
                       nul=b64(SECRET, 20).replace("\r\n", "\0\r\n"), first_blank="\r\n\r\n" + b64(SECRET), bytes4=b64(SECRET[:2], 4) + b64(SECRET[2:]), ).items():
    cases["base64-" + name] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + text))
for name, content in dict(zip=zipped(SECRET), marker=WORDS + MARKER + WORDS, words_zip=zipped(WORDS + MARKER)).items():
    cases["holds-" + name] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + b64(content)))
# Content as it is written, by a signature of all of it.
TEXT_PAYLOAD = SECRET.decode()
for name, part in dict(none="", text="Content-Type: text/plain\r\n", html="Content-Type: text/html\r\n", octets="Content-Type: application/octet-stream\r\n", other="X-Words: words\r\n", inline="Content-Disposition: inline\r\n", seven="Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n",
                       eight="Content-Transfer-Encoding: 8bit\r\n", binary="Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n", odd="Content-Transfer-Encoding: words\r\n", id="Content-ID: <1>\r\n", charset="Content-Type: text/plain; charset=utf-8\r\n").items():
    cases["written-" + name] = multipart(parts=(TEXT, part + "\r\n" + TEXT_PAYLOAD))
    cases["written-first-" + name] = multipart(parts=(part + "\r\n" + TEXT_PAYLOAD, TEXT))
    cases["written-alone-" + name] = HEAD + part + "\r\n" + TEXT_PAYLOAD
    cases["written-lf-" + name] = multipart(parts=(TEXT, part + "\r\n" + TEXT_PAYLOAD)).replace("\r\n", "\n")
cases["written-many"] = multipart(parts=(TEXT,) * 1200 + ("\r\n" + TEXT_PAYLOAD,))
cases["written-forwarded"] = multipart(parts=(TEXT, "Content-Type: message/rfc822\r\n\r\n" + HEAD + "\r\n" + TEXT_PAYLOAD))
cases["written-deep"] = multipart(parts=(TEXT, multipart("inner", parts=("\r\n" + TEXT_PAYLOAD,), head="").lstrip()))
# Pieces of base64 that are joined at a padding, as one text.
half = [b64(SECRET[:31], end="\n"), b64(SECRET[31:], end="\n")]
for name, text in dict(lines="".join(half), line="".join(half).replace("\n", "") + "\n", more=half[0].strip() + "==\n" + half[1], unpadded="".join(half).replace("=", ""), blank=half[0] + "\n" + half[1], carriage="".join(half).replace("\n", "\r\n"),
                       three=b64(SECRET[:10], end="\n") + b64(SECRET[10:20], end="\n") + b64(SECRET[20:], end="\n"), ended=b64(SECRET, end="====\n")).items():
    cases["uu-base64-joined-" + name] = "begin-base64 644 eicar.com\n" + text + "====\n"
    cases["uu-base64-joined-in-mail-" + name] = HEAD + "\r\nbegin-base64 644 eicar.com\n" + text + "====\n"
    cases["base64-joined-" + name] = multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + text))
# What the content says it is.
for name, kind in dict(text="text/plain", html="text/html", calendar="text/calendar", image="image/png", none=None, nonsense="words", slash="/", tnef="application/ms-tnef", mail="message/rfc822",
                       delivery="message/delivery-status", partial="message/partial; id=1; number=1; total=1", external="message/external-body; access-type=local-file", multipart="multipart/mixed", pgp="application/pgp-encrypted",
                       rtf="text/rtf", macbinary="application/applefile", binhex="application/mac-binhex40", upper="APPLICATION/OCTET-STREAM", video="video/mp4", model="model/x", font="font/ttf", comment="(x) application/octet-stream",
                       sig="application/pgp-signature", http="application/http", xml="text/xml", mime7="application/pkcs7-signature").items():
    head = "" if kind is None else f"Content-Type: {kind}\r\n"
    cases["type-" + name] = multipart(parts=(TEXT, head + "Content-Disposition: attachment; filename=eicar.com\r\nContent-Transfer-Encoding: base64\r\n\r\n" + PIECE))
    cases["type-alone-" + name] = HEAD + head + "Content-Transfer-Encoding: base64\r\n\r\n" + PIECE
for name, disposition in dict(inline="inline; filename=eicar.com", rfc2231="attachment; filename*=utf-8''eic%61r.com", pieces="attachment; filename*0=eic; filename*1=ar.com", none="", nonsense="words", long="attachment; filename=" + "x" * 5000,
                              quoted_line='attachment; filename="a\r\n b.com"', slash="attachment; filename=../../eicar.com", encoded="attachment; filename=\"=?utf-8?b?ZWljYXIuY29t?=\"").items():
    cases["disposition-" + name] = multipart(parts=(TEXT, f"Content-Type: application/octet-stream\r\nContent-Disposition: {disposition}\r\nContent-Transfer-Encoding: base64\r\n\r\n" + PIECE))
# The header of the whole.
body = multipart().split("\r\n", 6)[6]
for name, head in dict(no_mime=HEAD.replace("MIME-Version: 1.0\r\n", ""), mime_later="", mbox="From a@example.org Sat Nov 28 10:00:00 2026\r\n" + HEAD, received="Received: from x by y\r\n" + HEAD, return_path="Return-Path: <a@example.org>\r\n" + HEAD,
                       delivered="Delivered-To: b@example.org\r\n" + HEAD, folded="Subject: words\r\n words\r\n\twords\r\n" + HEAD, many="X-Words: words\r\n" * 500 + HEAD, very_many="X-Words: words\r\n" * 5000 + HEAD, long="X-Words: " + "w" * 20000 + "\r\n" + HEAD,
                       longest="X-Words: " + "w" * 200000 + "\r\n" + HEAD, nonsense="words without a colon\r\n" + HEAD, nonsense_later=HEAD + "words without a colon\r\n", blank_name="X Words: words\r\n" + HEAD, eight_bit="Subject: wörds\r\n" + HEAD,
                       nul="Subject: wo\0rds\r\n" + HEAD, bom="\ufeff" + HEAD, subject_only="Subject: words\r\n", to_only="To: b@example.org\r\n", x_only="X-Words: words\r\n", message_id="Message-ID: <1@example.org>\r\n", date="Date: Sat, 28 Nov 2026 10:00:00 +0000\r\n",
                       blank_first="\r\n" + HEAD, blanks_first="   \r\n" + HEAD, cc="Cc: b@example.org\r\n" + HEAD, colon_first=": words\r\n" + HEAD, empty_value="Subject:\r\n" + HEAD, http="HTTP/1.1 200 OK\r\n" + HEAD, http_post="POST / HTTP/1.1\r\n" + HEAD, mht="From: <Saved by words>\r\n" + HEAD[len("From: a@example.org\r\n"):]).items():
    cases["head-" + name] = head + body
cases["head-type-twice-first"] = HEAD + 'Content-Type: multipart/mixed; boundary="=_words"\r\nContent-Type: text/plain\r\n\r\n' + body.split("\r\n\r\n", 1)[1]
cases["head-type-twice-last"] = HEAD + 'Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary="=_words"\r\n\r\n' + body.split("\r\n\r\n", 1)[1]
cases["head-type-folded-in-front"] = HEAD + 'Content-Type:\r\n multipart/mixed;\r\n\tboundary="=_words"\r\n\r\n' + body.split("\r\n\r\n", 1)[1]
cases["head-type-blank-before-colon"] = HEAD + 'Content-Type : multipart/mixed; boundary="=_words"\r\n\r\n' + body.split("\r\n\r\n", 1)[1]
cases["head-type-blanks-in"] = HEAD + 'Content-Type: multipart / mixed; boundary="=_words"\r\n\r\n' + body.split("\r\n\r\n", 1)[1]
whole = multipart()
cases["lines-lf"] = whole.replace("\r\n", "\n")
cases["lines-cr"] = whole.replace("\r\n", "\r")
cases["lines-mixed"] = whole.replace("\r\n", "\n", 5)
cases["lines-crcrlf"] = whole.replace("\r\n", "\r\r\n")
cases["mbox-two"] = "From a@example.org Sat Nov 28 10:00:00 2026\n" + (HEAD + TEXT).replace("\r\n", "\n") + "\nFrom a@example.org Sat Nov 28 10:00:00 2026\n" + whole.replace("\r\n", "\n")
cases["mbox-many"] = ("From a@example.org Sat Nov 28 10:00:00 2026\n" + (HEAD + TEXT).replace("\r\n", "\n") + "\n") * 200 + "From a@example.org Sat Nov 28 10:00:00 2026\n" + whole.replace("\r\n", "\n")
cases["behind-words"] = "words and words\r\n\r\n" + whole
cases["behind-html"] = "<html></html>\r\n" + whole
cases["emlx"] = f"{len(whole)}\n" + whole + '<?xml version="1.0"?><plist/>'
for name, text in cases.items():
    if text is not None:
        put(name, text.encode())
put("8bit-zip", multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: binary\r\n\r\n@ZIP@")).encode().replace(b"@ZIP@", zipped(SECRET)))
put("utf16", whole.encode("utf-16"))
put("in-zip", zipped(whole.encode()))
for name, text in dict(plain=HEAD + TEXT, parts=multipart(parts=(TEXT, TEXT)), attached=multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + b64(WORDS))),
                       html=multipart(kind="alternative", parts=(TEXT, "Content-Type: text/html\r\n\r\n<p>words</p>")), forwarded=multipart(parts=(TEXT, "Content-Type: message/rfc822\r\n\r\n" + HEAD + TEXT)),
                       zip=multipart(parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + b64(zipped(WORDS)))), qp=multipart(parts=("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp("wörds".encode()),)),
                       mbox=("From a@example.org Sat Nov 28 10:00:00 2026\n" + (HEAD + TEXT).replace("\r\n", "\n") + "\n") * 3).items():
    put("clean-" + name, text.encode())
# Lines within a body that are no boundary of the mail, and long names.
for name, line in dict(dot="--.", marks="--!?()", hyphens="--", header="--.\r\n:.", words="--words words").items():
    for at in (40, 44):
        cut = PIECE.replace("\r\n", "")
        cut = multipart("words", parts=(TEXT, OCTETS + "Content-Transfer-Encoding: base64\r\n\r\n" + cut[:at] + f"\r\n{line}\r\n\r\n" + cut[at:] + "\r\n"))
        put(f"cut-{name}-{at}", cut.encode())
for length in (77, 1001, 70000):
    put(f"name-of-{length}", ("X" * length + ": y\r\n" + multipart()).encode())
    put(f"name-of-{length}-single", ("X" * length + ": y\r\n" + HEAD + ATTACHED).encode())
