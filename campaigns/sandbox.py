"""The template language of marketers: plain data in, text out, nothing else within reach.

This module runs in the child process of `campaigns.render`. What it cannot forbid (time, memory) the child's limits
stop; what it forbids it names, with the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NoReturn

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, get_currency_precision
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.filters import do_truncate
from jinja2.runtime import ChainableUndefined, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from campaigns.wallclock import zone_or

#: Characters of a text made by `+` or `~`, of one rendered part, and nodes of one template.
TEXT_MAX, OUTPUT_MAX, NODES_MAX = 100_000, 1_000_000, 5_000
#: Loops inside loops.
LOOPS_MAX = 2
NUMBER_MAX = 10**15
#: Snippets inside snippets.
SNIPPETS_MAX = 6

_ALLOWED: frozenset[type[nodes.Node]] = frozenset(
    {
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem,
        nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr,
        nodes.If, nodes.For, nodes.Assign, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
        nodes.Neg, nodes.Pos, nodes.Concat, nodes.List, nodes.Tuple, nodes.Keyword, nodes.Scope,
    }
)  # fmt: skip
_LOOP_WORDS = frozenset({"index", "index0", "revindex", "first", "last", "length"})
_TESTS = ("defined", "undefined", "none", "even", "odd", "string", "number", "in", "eq", "ne", "lt", "le", "gt", "ge")


class Forbidden(Exception):
    """The template uses something that is not part of the language."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class TooMuch(Exception):
    """The result, or a part of it, is too large."""


class Setting:
    """For whom one rendering is: language, time zone, and what turned out to be missing."""

    def __init__(self, locale: str | None, zone: str | None, project_zone: str, *, strict: bool) -> None:
        self.locale = _locale(locale)
        self.zone, _ = zone_or(zone, project_zone)
        self.strict = strict
        self.missing: list[str] = []

    def miss(self, name: str) -> None:
        """Note a name that had no value."""
        if name not in self.missing and len(self.missing) < 50:
            self.missing.append(name)


_now: ContextVar[Setting] = ContextVar("setting")


def _locale(name: str | None) -> Locale:
    for form in (name, (name or "").replace("-", "_").split("_")[0]):
        try:
            return Locale.parse((form or "en").replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


class Missing(ChainableUndefined):
    """A name that does not exist: nothing is printed, and it is noted. In strict mode it is an error."""

    def __str__(self) -> str:
        name = self._undefined_name or "?"
        if _now.get().strict and not isinstance(self, Blank):
            raise UndefinedError(f"there is nothing called {name}")
        _now.get().miss(name)
        return ""

    def __html__(self) -> str:
        return str(self)


class Blank(Missing):
    """A name that exists, of a person for whom it is empty."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Dictionaries, lists, texts and numbers; no attribute of any object, no call."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """As it was raised: jinja's own way draws template lines into the traceback, and fails where there is none."""
        raise  # noqa: PLE0704 - jinja calls this from its except clauses

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`a.b` is `a["b"]`, never an attribute; of a loop only where it stands."""
        if isinstance(obj, LoopContext) and attribute in _LOOP_WORDS:
            return getattr(obj, attribute)
        return self._look(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """As `getattr`; lists by number as well."""
        if isinstance(obj, list) and type(argument) is int:
            return obj[argument] if -len(obj) <= argument < len(obj) else Missing(name=str(argument))
        return self._look(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No attribute is."""
        return False

    def is_safe_callable(self, obj: Any) -> bool:
        """No object is."""
        return False

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on bounded numbers; `+` joins bounded texts too."""
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            raise UndefinedError("a value is missing in a calculation")
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > TEXT_MAX:
                raise TooMuch("a text grows too long")
            return left + right
        if operator == "**" or not (_is_number(left) and _is_number(right)):
            raise Forbidden(f"{operator} works on numbers only")
        try:
            result = super().call_binop(context, operator, left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise Forbidden(str(error)) from None
        return result if _is_number(result) else 0

    def _look(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, Undefined):
            return type(obj)(name=f"{obj._undefined_name}.{name}"[:100])
        if isinstance(obj, Mapping) and isinstance(name, str | int) and name in obj:
            value = obj[name]
            return Blank(name=str(name)) if value is None else value
        return Missing(name=str(name)[:100])


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) <= NUMBER_MAX


# -- filters -------------------------------------------------------------------------------------------------------


def _default(value: Any, fallback: Any = "", boolean: bool = False) -> Any:
    empty = isinstance(value, Undefined) or value is None or value == "" or (boolean and not value)
    return fallback if empty else value


def _date(value: Any, form: str = "medium", zone: str | None = None) -> Any:
    if isinstance(value, Undefined):
        return value
    setting = _now.get()
    at = _moment(value)
    if at is None:
        setting.miss("date")
        return ""
    where, _ = zone_or(zone, setting.zone.key)
    if isinstance(at, datetime):
        at = at.astimezone(where)
    form = str(form)[:60]
    if "%" in form:
        return at.strftime(form)
    if isinstance(at, datetime) and form in ("time", "datetime"):
        if form == "time":
            return format_time(at, "short", locale=setting.locale, tzinfo=where)
        return format_datetime(at, "medium", locale=setting.locale, tzinfo=where)
    return format_date(at, form if form not in ("time", "datetime") else "medium", locale=setting.locale)


def _moment(value: Any) -> datetime | date | None:
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        text = str(value).strip()[:40]
        if len(text) == 10:
            return date.fromisoformat(text)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=_now.get().zone)


def _money(value: Any, currency: str | None = None) -> Any:
    if isinstance(value, Undefined):
        return value
    code = currency
    amount = value
    if isinstance(value, Mapping):
        amount, code = value.get("amount_minor"), value.get("currency") or currency
    if not _is_number(amount) or not isinstance(code, str) or not code.isalpha() or len(code) != 3:
        _now.get().miss("money")
        return ""
    places = get_currency_precision(code.upper())
    whole = Decimal(str(amount)).scaleb(-places)
    return format_currency(whole, code.upper(), locale=_now.get().locale)


def _number(value: Any, decimals: int | None = None) -> Any:
    if isinstance(value, Undefined):
        return value
    try:
        number = Decimal(str(value)[:40])
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite() or abs(number) > NUMBER_MAX:
        _now.get().miss("number")
        return ""
    form = None if decimals is None else "#,##0" + ("." + "0" * min(max(int(decimals), 0), 8) if decimals else "")
    return format_decimal(number, format=form, locale=_now.get().locale)


def _text_filter(change: Callable[[str], str]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        return value if isinstance(value, Undefined) else change(value if isinstance(value, str) else str(value))

    return apply


def _join(value: Any, between: str = ", ") -> str:
    parts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    if sum(map(len, parts)) + len(parts) * len(str(between)) > TEXT_MAX:
        raise TooMuch("a text grows too long")
    return str(between).join(parts)


def _concat(value: Sequence[Any]) -> str:
    """What `a ~ b` becomes: the parts joined, bounded, and escaped where one of them is markup."""
    parts = [each if isinstance(each, str) else str(each) for each in value]
    if sum(map(len, parts)) > TEXT_MAX:
        raise TooMuch("a text grows too long")
    return Markup("").join(parts) if any(isinstance(each, Markup) for each in parts) else "".join(parts)


def _filters(environment: Sandbox) -> dict[str, Callable[..., Any]]:
    def truncate(value: Any, length: int = 255, killwords: bool = False, end: str = "…") -> Any:
        if isinstance(value, Undefined):
            return value
        size, tail = max(1, min(int(length), TEXT_MAX)), str(end)[:20]
        return do_truncate(environment, str(value), max(size, len(tail)), killwords, tail, 0)

    return {
        "default": _default, "d": _default, "date": _date, "money": _money, "truncate": truncate,
        "escape": escape, "e": escape, "number": _number, "join": _join, "_concat": _concat,
        "upper": _text_filter(str.upper), "lower": _text_filter(str.lower), "trim": _text_filter(str.strip),
        "capitalize": _text_filter(str.capitalize), "title": _text_filter(str.title),
        "length": lambda value: len(value) if isinstance(value, str | list | dict) else 0,
        "first": lambda value: value[0] if isinstance(value, list | str) and value else "",
        "last": lambda value: value[-1] if isinstance(value, list | str) and value else "",
    }  # fmt: skip


# -- reading and rendering -----------------------------------------------------------------------------------------


def environment(*, markup: bool) -> Sandbox:
    """An environment for HTML (values are escaped) or for plain text."""
    made = Sandbox(autoescape=markup, undefined=Missing, cache_size=0, auto_reload=False, optimized=True)
    made.globals.clear()
    made.filters = _filters(made)
    made.tests = {name: made.tests[name] for name in _TESTS}
    return made


class Language:
    """Compiles and renders. Compiled templates are kept by their text."""

    def __init__(self, *, kept: int = 500) -> None:
        self._html, self._text = environment(markup=True), environment(markup=False)
        self._kept: dict[tuple[bool, str, frozenset[tuple[str, str]]], Any] = {}
        self._most = kept

    def render(
        self, source: str, context: Mapping[str, Any], setting: Setting, *, markup: bool,
        snippets: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """The text; `snippets` are what `include` may name. Raises Forbidden, TooMuch, TemplateSyntaxError,
        UndefinedError."""
        token = _now.set(setting)
        template: Any = None
        try:
            template = self._compiled(source, markup, snippets or {})
            parts, size = [], 0
            for part in template.generate(**context):
                size += len(part)
                if size > OUTPUT_MAX:
                    raise TooMuch("the result is too long")
                parts.append(part)
            return "".join(parts)
        except UndefinedError as error:
            error.line = _line_of(error, template)  # type: ignore[attr-defined]
            raise
        finally:
            _now.reset(token)

    def _compiled(self, source: str, markup: bool, snippets: Mapping[str, str]) -> Any:
        key = (markup, source, frozenset(snippets.items()))
        found = self._kept.get(key)
        if found is None:
            own = self._html if markup else self._text
            found = own.from_string(checked(own, source, snippets))
            if len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = found
        return found


def _line_of(error: BaseException, template: Any) -> int | None:
    """At which line of the template it was raised."""
    found, at = None, error.__traceback__
    while at is not None and template is not None:
        if at.tb_frame.f_code.co_filename == "<template>":
            found = template.get_corresponding_lineno(at.tb_lineno)
        at = at.tb_next
    return found


def checked(own: Sandbox, source: str, snippets: Mapping[str, str] | None = None) -> nodes.Template:
    """The syntax tree, if it holds nothing but the language. Snippets stand in it where they were named."""
    tree = _Named(own, snippets or {}).visit(own.parse(source))
    count = 0
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, loops = waiting.pop()
        count += 1
        if count > NODES_MAX:
            raise Forbidden("the template is too long")
        _check_node(own, node, loops)
        deeper = loops + 1 if isinstance(node, nodes.For) else loops
        waiting.extend((child, deeper) for child in node.iter_child_nodes())
    return _BoundedJoin().visit(tree)  # type: ignore[no-any-return]


def _check_node(own: Sandbox, node: nodes.Node, loops: int) -> None:
    line = getattr(node, "lineno", None)
    if type(node) not in _ALLOWED:
        raise Forbidden(f"{type(node).__name__.lower()} is not part of the template language", line)
    if isinstance(node, nodes.Name) and node.name.startswith("_"):
        raise Forbidden("names do not begin with an underscore", line)
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        raise Forbidden("names do not begin with an underscore", line)
    if isinstance(node, nodes.Filter) and (node.name not in own.filters or node.name.startswith("_")):
        raise Forbidden(f"there is no filter called {node.name}", line)
    if isinstance(node, nodes.Test) and node.name not in own.tests:
        raise Forbidden(f"there is no test called {node.name}", line)
    if isinstance(node, nodes.For):
        if loops >= LOOPS_MAX or node.recursive:
            raise Forbidden("loops are nested too deeply", line)
        if not _is_given(node.iter):
            raise Forbidden("a loop goes over a given list, such as order.lines", line)


def _is_given(node: nodes.Node) -> bool:
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
    return isinstance(node, nodes.Name)


class _Named(NodeTransformer):
    """`include "key"` becomes the snippet itself, `coupon("key")` the person's code: there is no loader and no call."""

    def __init__(self, own: Sandbox, snippets: Mapping[str, str], way: tuple[str, ...] = ()) -> None:
        self._own = own
        self._snippets = snippets
        self._way = way

    def visit_Include(self, node: nodes.Include) -> nodes.Node:
        """The snippet's own tree, in a scope of its own; its faults are told at the line that names it."""
        key = node.template.value if isinstance(node.template, nodes.Const) else None
        if not isinstance(key, str):
            raise Forbidden("a snippet is named by its key in quotes", node.lineno)
        if key in self._way:
            raise Forbidden(f"the snippet {key} contains itself", node.lineno)
        if len(self._way) >= SNIPPETS_MAX:
            raise Forbidden("snippets are nested too deeply", node.lineno)
        if key not in self._snippets:
            raise Forbidden(f"there is no snippet called {key}", node.lineno)
        try:
            tree = _Named(self._own, self._snippets, (*self._way, key)).visit(self._own.parse(self._snippets[key]))
        except TemplateSyntaxError as error:
            raise Forbidden(f"the snippet {key} cannot be read: {error.message}", node.lineno) from None
        for each in tree.find_all(nodes.Node):
            each.lineno = node.lineno
        return nodes.Scope(tree.body, lineno=node.lineno)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        """Nothing else can be called."""
        known = isinstance(node.node, nodes.Name) and node.node.name == "coupon"
        given = node.args[0] if len(node.args) == 1 and not node.kwargs else None
        if not known or node.dyn_args or node.dyn_kwargs or not isinstance(given, nodes.Const):
            raise Forbidden("call is not part of the template language", node.lineno)
        codes = nodes.Name("coupons", "load", lineno=node.lineno)
        return nodes.Getitem(codes, nodes.Const(str(given.value), lineno=node.lineno), "load", lineno=node.lineno)


class _BoundedJoin(NodeTransformer):
    """`a ~ b` made a filter of ours, because the built-in one knows no bound."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Replace the node, its parts included."""
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)


def fault(error: BaseException) -> dict[str, Any]:
    """What went wrong, as the child answers it."""
    line = getattr(error, "line", None) or getattr(error, "lineno", None)
    if isinstance(error, TemplateSyntaxError):
        return {"code": "syntax", "message": error.message or "The template cannot be read.", "line": line}
    if isinstance(error, Forbidden | SecurityError):
        return {"code": "forbidden", "message": str(error), "line": line}
    if isinstance(error, UndefinedError):
        return {"code": "undefined", "message": str(error), "line": line}
    if isinstance(error, TooMuch | MemoryError):
        return {"code": "too_large", "message": str(error) or "The template needs too much memory.", "line": line}
    if isinstance(error, RecursionError):
        return {"code": "syntax", "message": "The template is nested too deeply.", "line": line}
    return {"code": "failed", "message": f"The template failed: {type(error).__name__}.", "line": line}
