"""The blocks an e-mail is composed of, and the look they share. Every text in them is a template. Pure data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Blocks of one e-mail.
BLOCKS_MAX = 60
Words = Annotated[str, StringConstraints(max_length=10_000)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Target = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
PictureUrl = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"^(https://\S+)?$")]
Align = Literal["start", "center"]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeaderBlock(_Block):
    """The logo, or the name of the house, and a headline."""

    type: Literal["header"] = "header"
    title: Annotated[str, StringConstraints(max_length=300)] = ""
    with_logo: bool = True


class TextBlock(_Block):
    """Paragraphs. `**bold**`, `[label](address)`, lines that begin with `#` are headings, with `-` are a list."""

    type: Literal["text"] = "text"
    text: Words
    align: Align = "start"


class ImageBlock(_Block):
    """A picture; `alt` says what it shows to who does not see it."""

    type: Literal["image"] = "image"
    url: Target
    alt: Label
    link: Annotated[str, StringConstraints(max_length=2000)] = ""


class ButtonBlock(_Block):
    """One link that stands out."""

    type: Literal["button"] = "button"
    label: Label
    url: Target
    align: Align = "center"


class ProductsBlock(_Block):
    """The lines of the order with their prices. Nothing where there is no order."""

    type: Literal["products"] = "products"
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    at_most: int = Field(10, ge=1, le=50)


class SummaryBlock(_Block):
    """Number and total of the order. The labels are templates, so that each language has its own."""

    type: Literal["summary"] = "summary"
    number_label: Label = "Order"
    total_label: Label = "Total"


class DividerBlock(_Block):
    """A line."""

    type: Literal["divider"] = "divider"


class ColumnsBlock(_Block):
    """Two texts side by side; one below the other on phones."""

    type: Literal["columns"] = "columns"
    left: Words
    right: Words


class FooterBlock(_Block):
    """Who writes, and the way out."""

    type: Literal["footer"] = "footer"
    text: Words = ""
    unsubscribe_label: Label = "Unsubscribe"
    preferences_label: Annotated[str, StringConstraints(max_length=200)] = "Choose what you get"


Block = Annotated[
    HeaderBlock | TextBlock | ImageBlock | ButtonBlock | ProductsBlock | SummaryBlock | DividerBlock | ColumnsBlock
    | FooterBlock,
    Field(discriminator="type"),
]  # fmt: skip
KINDS: tuple[type[_Block], ...] = (
    HeaderBlock, TextBlock, ImageBlock, ButtonBlock, ProductsBlock, SummaryBlock, DividerBlock, ColumnsBlock,
    FooterBlock,
)  # fmt: skip


class Brand(BaseModel):
    """How everything the house sends looks: one for the whole workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)] = ""
    #: An https address of a picture; without one the name is written.
    logo_url: PictureUrl = ""
    logo_width_px: int = Field(140, ge=16, le=600)
    accent: Colour = "#1f5eff"
    ink: Colour = "#1d1d1f"
    paper: Colour = "#ffffff"
    backdrop: Colour = "#f2f3f5"
    font: Literal["sans", "serif", "mono"] = "sans"
    #: Postal address; marketing needs one by law in many places.
    address: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
