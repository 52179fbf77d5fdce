"""Posted forms: what is written is read again, and any bytes give a form or `Unreadable`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.adapter import Delivery, Unreadable
from channels.providers.mail.forms import MAX_FIELDS, is_form, read_form, write_form
from channels.vocabulary import Attachment, AttachmentKind

NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)
KINDS = st.sampled_from([
    "multipart/form-data; boundary=x", "multipart/form-data", 'multipart/form-data; boundary=""',
    "application/x-www-form-urlencoded", "application/json", "", "multipart/form-data; boundary=é",
])  # fmt: skip


def post(body: bytes, kind: str) -> Delivery:
    return Delivery("POST", body, {"content-type": (kind,)})


@given(fields=st.dictionaries(NAMES, st.text(max_size=60).map(lambda text: text.encode("utf-8", "ignore").decode())))
@settings(deadline=None)
def test_what_is_written_is_read(fields: dict[str, str]) -> None:
    kind, body = write_form(fields.items(), [])
    read = read_form(post(body, kind))
    assert {name: values[0].decode() for name, values in read.fields.items()} == fields


@given(content=st.binary(max_size=300))
@settings(deadline=None)
def test_files_keep_every_byte(content: bytes) -> None:
    file = Attachment(kind=AttachmentKind.FILE, media_type="application/pdf", content=content)
    kind, body = write_form([("a", "b")], [("file", file, 'ü".pdf')])
    assert read_form(post(body, kind)).files["file"].content() == content


@given(body=st.binary(max_size=300) | st.just(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb'), kind=KINDS)
@settings(deadline=None, max_examples=200)
def test_any_bytes_give_a_form_or_unreadable(body: bytes, kind: str) -> None:
    try:
        form = read_form(post(body, kind))
    except Unreadable:
        return
    assert is_form(post(body, kind))
    for name in form.fields:
        form.one(name), form.text(name, "gb2312"), form.raw(name)


def test_repeated_fields_are_no_proof_and_too_many_are_refused() -> None:
    form = read_form(post(b"a=1&a=2&b=%E4%BD%A0&c=\xff", "application/x-www-form-urlencoded"))
    assert (form.one("a"), form.one("missing"), form.one("b"), form.raw("c")) == (None, None, "你", b"\xff")
    with pytest.raises(Unreadable):
        read_form(post(b"&".join(b"a%d=1" % n for n in range(MAX_FIELDS + 1)), "application/x-www-form-urlencoded"))
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    with pytest.raises(Unreadable):
        read_form(post(part * (MAX_FIELDS + 1), "multipart/form-data; boundary=x"))
