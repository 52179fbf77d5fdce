"""What is wrong with a template, as people read it. Pure."""

from __future__ import annotations

import re

from desk.i18n import N_, Formats

#: What the model, the sandbox or jinja say → what people read; what is named in it stands in a group of that name.
SAID: tuple[tuple[str, str], ...] = (
    (r"give a text", N_("Write a text.")),
    (r"an e-mail needs a subject", N_("An e-mail needs a subject.")),
    (r"give either blocks or a body, not both", N_("Either blocks or a body, not both.")),
    (r"blocks are for e-mails; give a text", N_("Blocks are for e-mails: write a text.")),
    (r"name the approved WhatsApp template", N_("Name the approved template.")),
    (r"there is nothing called (?P<name>.+)", N_("There is nothing called “%(name)s”.")),
    (r"there is no filter called (?P<name>.+)", N_("There is no filter called “%(name)s”.")),
    (r"there is no test called (?P<name>.+)", N_("There is no test called “%(name)s”.")),
    (r"there is no snippet called (?P<name>.+)", N_("There is no snippet called “%(name)s”.")),
    (r"there is no offer called (?P<name>.+)", N_("There is no offer called “%(name)s”.")),
    (r"Encountered unknown tag '(?P<name>[^']*)'.*", N_("There is no tag called “%(name)s”.")),
    (r"(?P<name>.+) is not part of the template language", N_("“%(name)s” is not part of the template language.")),
    (r"names do not begin with an underscore", N_("Names do not begin with an underscore.")),
    (r"loops are nested too deeply", N_("Loops are nested too deeply.")),
    (r"a loop goes over a given list, such as order.lines", N_("A loop goes over a given list, such as order.lines.")),
    (r"a snippet is named by its key in quotes", N_("A snippet is named by its key in quotes.")),
    (r"the snippet (?P<name>.+) contains itself", N_("The snippet “%(name)s” contains itself.")),
    (r"snippets are nested too deeply", N_("Snippets are nested too deeply.")),
    (r"the snippet (?P<name>.+?) cannot be read: .*", N_("The snippet “%(name)s” cannot be read.")),
    (r"a value is missing in a calculation", N_("A value is missing in a calculation.")),
    (r"(?P<name>\S+) works on numbers only", N_("“%(name)s” works on numbers only.")),
    (r"a text grows too long|the result is too long|the template is too long|The template needs too much memory\.",
     N_("It grows too long.")),
    (r"The template is nested too deeply\.", N_("It is nested too deeply.")),
    (r"Templates cannot be rendered at the moment\.", N_("Templates cannot be filled in at the moment.")),
)  # fmt: skip
_LINE = re.compile(r"(?P<told>.*?)(?: \(line (?P<line>\d+)\))?", re.DOTALL)


def template_words(message: str, formats: Formats) -> str:
    """One sentence, with its line where one is told."""
    parts = _LINE.fullmatch(message)
    told, line = (parts["told"], parts["line"]) if parts else (message, None)
    found = next(((words, match) for pattern, words in SAID if (match := re.fullmatch(pattern, told))), None)
    if found is None:
        words = formats.text(N_("This cannot be read: %(why)s"), why=told)
    else:
        words = formats.text(found[0], **found[1].groupdict())
    return formats.text(N_("Line %(line)s: %(words)s"), line=line, words=words) if line else words
