"""Datapath actions as text, as ovs-dpctl prints and reads it: `push_vlan(vid=5,pcp=0),set(ipv4(ttl=3)),2`.

One `set(...)` of the text changes fields of one header; a `Set` record may change several headers at once and
is then written as several.  What is read makes one record each.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from trunkline.base.addresses import format_ipv4, format_ipv6, format_mac, parse_ipv4, parse_ipv6, parse_mac
from trunkline.dpif import actions as a
from trunkline.dpif.text import NESTED, assignments, parse_key, short_hex
from trunkline.dpif.tunnel_push_text import format_push, parse_push
from trunkline.dpif.tunnel_text import format_tunnel, tunnel_bits
from trunkline.flow.key import OFFSET, TUN_KEY, VIEW, WIDTH, get
from trunkline.flow.values import TextError, scan_integer

_NO_NAMES: Final[Mapping[Any, Any]] = MappingProxyType({})
_NSH: Final = tuple(slot for slot in OFFSET if slot.startswith("nsh_"))
_HASHES: Final = ("l4", "sym_l4")


# ---- writing


def format_actions(actions: tuple[Any, ...], port_names: Mapping[int, str] = _NO_NAMES, key: int = 0) -> str:
    """A list of actions; none is `drop`.

    `key` is a key of the packets concerned: it says which header the fields that several share are in.
    """
    if not actions:
        return "drop"
    return ",".join(part for action in actions for part in _format(action, port_names, key))


def _format(action: Any, names: Mapping[int, str], key: int) -> Iterator[str]:
    writer = _WRITERS.get(type(action))
    if writer is not None:
        yield writer(action, names)
    elif isinstance(action, a.Set):
        yield from _format_set(action, key)
    else:
        yield from _format_nested(action, names, key)


def _format_nested(action: Any, names: Mapping[int, str], key: int) -> Iterator[str]:
    if isinstance(action, a.Clone):
        yield f"clone({format_actions(action.actions, names, key)})"
    elif isinstance(action, a.Sample):
        percent = action.probability / 0xFFFFFFFF * 100
        yield f"sample(sample={percent:.1f}%,actions({format_actions(action.actions, names, key)}))"
    elif isinstance(action, a.CheckLength):
        greater, less = (format_actions(one, names, key) for one in (action.greater, action.less_equal))
        yield f"check_pkt_len(size={action.size},gt({greater}),le({less}))"
    else:
        raise TypeError(f"{action!r} is no datapath action")


def _format_set(action: a.Set, key: int) -> Iterator[str]:
    value, mask = action
    if mask & tunnel_bits:
        keyed = get(value, "tunnel_flags") & TUN_KEY  # else there is no number to show
        yield f"set({format_tunnel(value, mask if keyed else mask & ~VIEW['tun_id'].mask)})"
    for name, field in (("skb_priority", "skb_priority"), ("skb_mark", "pkt_mark")):
        if mask & VIEW[field].mask:
            shift, ones, _ = VIEW[field]
            yield f"set({name}({_masked(short_hex(value >> shift & ones), mask >> shift & ones, ones)}))"
    for name in _headers(value, mask, key):
        parts = []
        for part, field, form in NESTED[name]:
            shift, ones, place = VIEW[field]
            if name == "nd_ext":  # without masks
                if mask & place or (part == "nd_reserved" and mask & VIEW["nd_options_type"].mask):
                    text = f"{value >> shift & ones:{'#x' if part == 'nd_reserved' else 'd'}}"
                    parts.append(f"{part}={text}")
            elif mask & place:
                text = form.write(value >> shift & ones, mask >> shift & ones, ones)
                if name == "nsh":
                    text = _nsh_part(part, value >> shift & ones, mask >> shift & ones, ones)
                parts.append(f"{part}={text}")
        if parts:
            yield f"set({name}({','.join(parts)}))"
    if mask & VIEW["mpls0"].mask:
        yield f"set({_mpls(get(value, 'mpls0'))})"


def _nsh_part(part: str, value: int, mask: int, ones: int) -> str:
    """Under a mask, numbers of a byte have all their digits; of the others the mask alone."""
    wide = part in ("spi", "c1", "c2", "c3", "c4")
    if mask == ones:
        return f"{value:#x}" if wide else str(value)
    return f"{value:#x}/{mask:#010x}" if wide else f"{value:#04x}/{mask:#04x}"


def _masked(text: str, mask: int, ones: int) -> str:
    return text if mask == ones else f"{text}/{mask:#x}"


def _headers(value: int, mask: int, key: int) -> Iterator[str]:
    """The headers whose fields a masked set changes."""
    kind = get(key, "dl_type")
    if mask & (VIEW["dl_src"].mask | VIEW["dl_dst"].mask):
        yield "eth"
    if any(mask >> OFFSET[slot] & (1 << WIDTH[slot]) - 1 for slot in _NSH):
        yield "nsh"
    if kind in (0x0806, 0x8035):
        yield "arp"
        return
    six = kind == 0x86DD or bool(
        (mask >> OFFSET["net_src"] | mask >> OFFSET["net_dst"]) >> 32 & (1 << 96) - 1
    )
    yield "ipv6" if six else "ipv4"
    protocol = get(key, "nw_proto")
    transport = {6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "icmpv6"}
    yield transport.get(protocol, "tcp")
    if protocol == 58:
        yield "nd"
        yield "nd_ext"


def _mpls(entry: int) -> str:
    return f"mpls({_mpls_parts(entry)})"


def _mpls_parts(entry: int) -> str:
    return f"label={entry >> 12},tc={entry >> 9 & 7},ttl={entry & 255},bos={entry >> 8 & 1}"


def _write_push_vlan(action: a.PushVlan, names: Mapping[int, str]) -> str:
    tpid = f"tpid={action.tpid:#06x}," if action.tpid != 0x8100 else ""
    cfi = "" if action.tci & 0x1000 else ",cfi=0"
    return f"push_vlan({tpid}vid={action.tci & 0xFFF},pcp={action.tci >> 13}{cfi})"


def _write_push_nsh(action: a.PushNsh) -> str:
    fields = action.fields
    text = ",".join(
        f"{name}={get(fields, f'nsh_{name}'):{'#x' if name == 'spi' else 'd'}}"
        for name in ("flags", "ttl", "mdtype", "np", "spi", "si")
    )
    if action.metadata:
        return f"push_nsh({text},md2=0x{action.metadata.hex()})"
    if get(fields, "nsh_mdtype") == 1:
        text += "".join(f",c{i}={get(fields, f'nsh_c{i}'):#x}" for i in range(1, 5))
    return f"push_nsh({text})"


def _write_userspace(action: a.Userspace, names: Mapping[int, str]) -> str:
    parts = [f"pid={action.pid}"]
    what = action.what
    if isinstance(what, a.Cookie):
        parts += _write_cookie(what)
    else:
        cookie = getattr(what, "cookie_text", None)  # what translation put there may describe itself
        if cookie is not None:
            parts += _write_cookie(cookie())
    if action.with_actions:
        parts.append("actions")
    if action.tunnel_out_port is not None:
        parts.append(f"tunnel_out_port={action.tunnel_out_port}")
    return f"userspace({','.join(parts)})"


def _write_cookie(cookie: a.Cookie) -> Iterator[str]:
    if cookie.kind == "userdata":
        yield f"userdata({cookie.data.hex()})"
    elif cookie.kind:
        words = ",".join(f"{name}={value}" if name else str(value) for name, value in cookie.words)
        yield f"{cookie.kind}({words})"


def _write_conntrack(action: a.Conntrack, names: Mapping[int, str]) -> str:
    parts = ["force_commit"] if action.force else ["commit"] if action.commit else []
    if action.zone:
        parts.append(f"zone={action.zone}")
    for name, pair in (("mark", action.mark), ("label", action.label)):
        if pair is not None:
            whole = name == "label" and pair[1] == (1 << 128) - 1
            parts.append(f"{name}={short_hex(pair[0])}" + ("" if whole else f"/{short_hex(pair[1])}"))
    if action.helper:
        parts.append(f"helper={action.helper}")
    if action.timeout:
        parts.append(f"timeout={action.timeout}")
    if action.nat is not None:
        parts.append(_write_nat(action.nat))
    return f"ct({','.join(parts)})" if parts else "ct"


def _write_nat(nat: a.Nat) -> str:
    if not nat.kind:
        return "nat"
    text = ""
    if nat.address_min is not None:
        write = format_ipv4 if nat.family == 4 else format_ipv6
        text = write(nat.address_min)
        if nat.address_max not in (None, nat.address_min):
            text += f"-{write(nat.address_max or 0)}"
        if nat.port_min or nat.port_max:
            text = "-".join(f"[{one}]" for one in text.split("-")) if nat.family == 6 else text
    if nat.port_min:
        text += f":{nat.port_min}" + (f"-{nat.port_max}" if nat.port_max not in (0, nat.port_min) else "")
    flags = [name for name in ("persistent", "hash", "random") if getattr(nat, name)]
    return f"nat({','.join([nat.kind + (f'={text}' if text else ''), *flags])})"


_Writer = Callable[[Any, Mapping[int, str]], str]
_WRITERS: Final[Mapping[type, _Writer]] = MappingProxyType(
    {
        a.Output: lambda action, names: str(names.get(action.port, action.port)),
        a.PushVlan: _write_push_vlan,
        a.PopVlan: lambda action, names: "pop_vlan",
        a.PushMpls: lambda action, names: (
            f"push_mpls({_mpls_parts(action.entry)},eth_type={action.ethertype:#x})"
        ),
        a.AddMpls: lambda action, names: (
            f"add_mpls({_mpls_parts(action.entry)},eth_type={action.ethertype:#x})"
        ),
        a.PushNsh: lambda action, names: _write_push_nsh(action),
        a.PopNsh: lambda action, names: "pop_nsh()",
        a.PopMpls: lambda action, names: f"pop_mpls(eth_type={action.ethertype:#x})",
        a.PushEth: lambda action, names: (
            f"push_eth(src={format_mac(action.src)},dst={format_mac(action.dst)})"
        ),
        a.PopEth: lambda action, names: "pop_eth",
        a.Userspace: _write_userspace,
        a.Recirc: lambda action, names: f"recirc({action.id:#x})",
        a.Hash: lambda action, names: f"hash({_HASHES[action.algorithm]}({action.basis}))",
        a.Truncate: lambda action, names: f"trunc({action.max_len})",
        a.Conntrack: _write_conntrack,
        a.ConntrackClear: lambda action, names: "ct_clear",
        a.Meter: lambda action, names: f"meter({action.id})",
        a.TunnelPush: format_push,
        a.TunnelPop: lambda action, names: f"tnl_pop({names.get(action.port, action.port)})",
        a.LoadBalance: lambda action, names: f"lb_output({action.bond})",
        a.Drop: lambda action, names: "drop",
    }
)


# ---- reading

_DEEPEST: Final = 30  # actions around an action


def parse_actions(text: str, ports: Mapping[str, int] = _NO_NAMES, depth: int = 0) -> tuple[Any, ...]:
    """The actions of a text; `drop` is none; `depth` counts the actions around them.

    Raises TextError with the action that makes no sense.
    """
    if depth > _DEEPEST:
        raise TextError(f"more than {_DEEPEST} actions within each other")
    if text.strip() == "drop":
        return ()
    found = []
    for name, body, rest in _words(text):
        try:
            found.append(_parse(name, body, ports, depth + 1))
        except (ValueError, KeyError, TextError):
            raise TextError(f"syntax error at {rest}") from None
    return tuple(found)


def pieces_of(text: str) -> list[str]:
    """The text of each action of a list.  Raises TextError."""
    return [name if body is None else f"{name}({body})" for name, body, _ in _words(text)]


def _words(text: str) -> Iterator[tuple[str, str | None, str]]:
    """(name, what is in its parentheses or None, the rest of the text from there on)."""
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in ", \t\r\n":
            at += 1
        if at == end:
            return
        start = at
        while at < end and text[at] not in "(, \t\r\n":
            at += 1
        name = text[start:at]
        if at == end or text[at] != "(":
            yield name, None, text[start:]
            continue
        depth, opening = 0, at
        while at < end:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
            if not depth:
                break
        if depth:
            raise TextError(f"syntax error at {text[start:]}")
        yield name, text[opening + 1 : at - 1], text[start:]


def _parse(name: str, body: str | None, ports: Mapping[str, int], depth: int) -> Any:
    if body is None:
        if name in _PLAIN:
            return _PLAIN[name]
        return a.Output(ports[name] if name in ports else _number(name, 0xFFFFFFFF))
    reader = _READERS.get(name)
    if reader is not None:
        return reader(body)
    if name == "tnl_push":
        return parse_push(body, ports)
    if name == "tnl_pop":
        return a.TunnelPop(ports[body] if body in ports else _number(body, 0xFFFFFFFF))
    if name == "clone":
        return a.Clone(parse_actions(body, ports, depth))
    if name == "sample":
        return _read_sample(body, ports, depth)
    if name == "check_pkt_len":
        return _read_check_length(body, ports, depth)
    raise KeyError(name)


def _number(text: str, ones: int) -> int:
    value = scan_integer(text.strip())
    if value is None or value > ones:
        raise ValueError(text)
    return value


def _decimal(text: str, ones: int) -> int:
    if not text.strip().isdecimal():
        raise ValueError(text)
    return _number(text, ones)


def _hexadecimal(text: str) -> int:
    """Digits are hexadecimal with or without 0x; the lowest 32 bits count."""
    return int(text.strip(), 16) & 0xFFFFFFFF


def _read_set(body: str) -> a.Set:
    value, mask = parse_key(body)
    if not mask:
        raise ValueError(body)
    return a.Set(value & mask, mask)


def _read_push_vlan(body: str) -> a.PushVlan:
    words = dict(assignments(body))
    if set(words) - {"tpid", "vid", "pcp", "cfi"} or "vid" not in words or "pcp" not in words:
        raise ValueError(body)
    tci = (
        _number(words["vid"], 0xFFF)
        | _number(words["pcp"], 7) << 13
        | _number(words.get("cfi", "1"), 1) << 12
    )
    return a.PushVlan(_number(words.get("tpid", "0x8100"), 0xFFFF), tci)


def _read_push_mpls(body: str) -> a.PushMpls:
    words = dict(assignments(body))
    entry = _number(words["label"], 0xFFFFF) << 12 | _number(words["tc"], 7) << 9
    entry |= _number(words["bos"], 1) << 8 | _number(words["ttl"], 255)
    return a.PushMpls(entry, _number(words["eth_type"], 0xFFFF))


def _read_add_mpls(body: str) -> a.AddMpls:
    return a.AddMpls(*_read_push_mpls(body))


def _read_push_nsh(body: str) -> a.PushNsh:
    words = dict(assignments(body))
    fields = 0
    for name, text in words.items():
        if name != "md2":
            field = f"nsh_{name}"
            if field not in VIEW:
                raise ValueError(body)
            fields |= _number(text, VIEW[field].ones) << VIEW[field].shift
    return a.PushNsh(fields, bytes.fromhex(words.get("md2", "0x")[2:]))


def _read_push_eth(body: str) -> a.PushEth:
    words = dict(assignments(body))
    source, destination = parse_mac(words["src"]), parse_mac(words["dst"])
    if source is None or destination is None:
        raise ValueError(body)
    return a.PushEth(source, destination)


def _read_userspace(body: str) -> a.Userspace:
    found = re.fullmatch(
        r"pid=(\d+)(?:,(\w+)\(([^)]*)\))?(,actions)?(?:,tunnel_out_port=(\d+))?", body.strip()
    )
    if found is None:
        raise ValueError(body)
    pid, kind, words, actions, port = found.groups()
    cookie = a.Cookie("")
    if kind == "userdata":
        cookie = a.Cookie("userdata", (), bytes.fromhex(words).ljust(8, b"\0"))
    elif kind is not None:
        pairs = tuple(
            (word.split("=", 1)[0], word.split("=", 1)[1]) if "=" in word else ("", word)
            for word in words.split(",")
        )
        if kind not in ("sFlow", "slow_path", "flow_sample", "ipfix", "controller"):
            raise KeyError(kind)
        cookie = a.Cookie(kind, pairs)
    out_port = _decimal(port, 0xFFFFFFFF) if port else None
    return a.Userspace(cookie, _decimal(pid, 0xFFFFFFFF), out_port, bool(actions))


def _read_sample(body: str, ports: Mapping[str, int], depth: int) -> a.Sample:
    found = re.fullmatch(r"sample=([0-9.]+)%,actions\((.*)\)", body.strip())
    if found is None or not 0 <= float(found[1]) <= 100:
        raise ValueError(body)
    return a.Sample(round(float(found[1]) * 0xFFFFFFFF / 100), parse_actions(found[2], ports, depth))


def _read_check_length(body: str, ports: Mapping[str, int], depth: int) -> a.CheckLength:
    parts = {name: inner for name, inner, _ in _words(body)}
    found = re.match(r"size=(\d+),", body)
    if found is None or parts.get("gt") is None or parts.get("le") is None:
        raise ValueError(body)
    greater, less = (parse_actions(parts[name] or "", ports, depth) for name in ("gt", "le"))
    return a.CheckLength(_number(found[1], 0xFFFF), greater, less)


def _read_hash(body: str) -> a.Hash:
    found = re.fullmatch(r"(l4|sym_l4)\((\d+)\)", body)
    if found is None:
        raise ValueError(body)
    return a.Hash(_HASHES.index(found[1]), int(found[2]))


_LONGEST_NAME: Final = {"helper": 15, "timeout": 31}  # in bytes, as the kernel's tables have them


def _read_conntrack(body: str) -> a.Conntrack:
    given: dict[str, Any] = {}
    for name, inner, word in _words(body):
        key, equals, text = name.partition("=")
        if key in ("commit", "force_commit") and not equals:
            given["commit"] = True
            given["force"] = key == "force_commit"
        elif key == "zone":
            given["zone"] = _decimal(text, 0xFFFF)
        elif key == "mark":
            value, slash, mask = text.partition("/")
            given[key] = _hexadecimal(value), _hexadecimal(mask) if slash else 0xFFFFFFFF
        elif key == "label":
            value, slash, mask = text.partition("/")
            ones = (1 << 128) - 1
            given[key] = _number(value, ones), _number(mask, ones) if slash else ones
        elif key in _LONGEST_NAME and text:
            if len(text) > _LONGEST_NAME[key]:
                raise ValueError(text)
            given[key] = text
        elif key == "nat" and not equals:
            given["nat"] = _read_nat(inner or "")
        else:
            raise ValueError(word)
    return a.Conntrack(**given)


def _read_nat(body: str) -> a.Nat:
    words = [word.strip() for word in body.split(",") if word.strip()]
    if not words:
        return a.Nat()
    given: dict[str, Any] = {}
    for word in words:
        if word in ("persistent", "hash", "random"):
            given[word] = True
            continue
        kind, _, target = word.partition("=")
        if kind not in ("src", "dst"):
            raise ValueError(body)
        given["kind"] = kind
        if target:
            given |= _read_target(target)
    return a.Nat(**given)


_NO_BRACKETS: Final = str.maketrans("", "", "[]")


def _read_target(text: str) -> dict[str, int]:
    """`address[-address][:port[-port]]`; IPv6 addresses in brackets where ports follow."""
    found = re.fullmatch(
        r"(?:(\[[^\]]*\](?:-\[[^\]]*\])?)|([0-9.]+(?:-[0-9.]+)?)"
        r"|([0-9a-fA-F:.]+(?:-[0-9a-fA-F:.]+)?))(?::(\d+)(?:-(\d+))?)?",
        text,
    )
    if found is None:
        raise ValueError(text)
    addresses = (found[1] or found[2] or found[3]).translate(_NO_BRACKETS).split("-")
    family = 6 if ":" in addresses[0] else 4
    numbers = [parse_ipv6(one) if family == 6 else parse_ipv4(one) for one in addresses]
    low, high = numbers[0] or 0, numbers[-1] or 0
    ports: dict[str, int] = {}
    if found[4]:
        ports = {"port_min": _decimal(found[4], 0xFFFF), "port_max": _decimal(found[5] or found[4], 0xFFFF)}
    if None in numbers or low > high or (ports and ports["port_min"] > ports["port_max"]):
        raise ValueError(text)
    return {"family": family, "address_min": low, "address_max": high, **ports}


_PLAIN: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "pop_vlan": a.PopVlan(),
        "pop_eth": a.PopEth(),
        "ct_clear": a.ConntrackClear(),
        "ct": a.Conntrack(),
    }
)
_READERS: Final[Mapping[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "set": _read_set,
        "push_vlan": _read_push_vlan,
        "push_mpls": _read_push_mpls,
        "pop_mpls": lambda body: a.PopMpls(_number(dict(assignments(body))["eth_type"], 0xFFFF)),
        "push_eth": _read_push_eth,
        "add_mpls": _read_add_mpls,
        "push_nsh": _read_push_nsh,
        "pop_nsh": lambda body: a.PopNsh(),
        "userspace": _read_userspace,
        "recirc": lambda body: a.Recirc(_number(body, 0xFFFFFFFF)),
        "hash": _read_hash,
        "trunc": lambda body: a.Truncate(_number(body, 0xFFFFFFFF)),
        "ct": _read_conntrack,
        "meter": lambda body: a.Meter(_number(body, 0xFFFFFFFF)),
        "lb_output": lambda body: a.LoadBalance(_decimal(body, 0xFFFFFFFF)),
    }
)
