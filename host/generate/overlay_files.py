"""Everything that follows from an overlay description, as text.

``make generate`` writes it to the source tree.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from axynq.emulator.multipliers import Exact, Multiplier, Roup, SMApprox, Table, multiplier
from axynq.host.generate.table_functors import table_headers
from axynq.host.generate.template import render
from axynq.host.overlay import Overlay
from axynq.host.overlay.description import LaneGroup
from axynq.host.overlay.naming import BLACKBOX_PREFIX, dsp_pair_name, module_name, verilog_name
from axynq.host.overlay.processing_system import SOFTWARE_MEMORY_BYTES
from axynq.host.overlay.registers import ARGUMENTS, TOP_FUNCTION, VLNV, register_map

_POINTERS = [argument.name for argument in ARGUMENTS if argument.kind == "pointer"]


def overlay_files(overlay: Overlay) -> dict[str, str]:
    """The generated files of one overlay: name to content."""
    return {
        **overlay_headers(overlay),
        "axynq/blackboxes.hpp": blackboxes_header(overlay),
        "overlay.tcl": overlay_tcl(overlay),
        "registers.json": registers_json(overlay),
        "overlay.hwh": hardware_handoff(overlay),
    }


def overlay_headers(overlay: Overlay) -> dict[str, str]:
    """The C++ constants and lane banks, and the functors of tables: by the path that they are
    included by."""
    banks = [_bank(group) for group in overlay.lanes for _ in range(group.count)]
    tables = table_headers(m for bank in overlay.banks for m in bank)
    header = render("overlay.hpp.j2", overlay=overlay, banks=banks, tables=sorted(tables))
    return {"axynq/overlay.hpp": header, **tables}


def _bank(group: LaneGroup) -> str:
    """The C++ type of a lane's bank."""
    if group.cell == "dsp pair":
        return "dsp_pair"
    designs = ", ".join(cpp_type(multiplier(spec)) for spec in group.bank)
    return f"{'configurable_' if group.cell == 'configurable' else ''}bank<{designs}>"


@dataclass(frozen=True)
class Blackbox:
    """Verilog as in ``hls/rtl`` that stands for a design, a configurable cell or a DSP pair."""

    function: str
    specs: tuple[str, ...]
    """Multipliers; several for a configurable cell. Or the name of a DSP pair."""
    types: tuple[str, ...]
    """Their C++ functors."""
    code_bits: int = 0
    """0 where nothing selects."""
    pair: bool = False
    """Whether it is a DSP block, which multiplies by two weights."""


def overlay_blackboxes(overlay: Overlay) -> list[Blackbox]:
    """The netlists that the overlay's lanes consist of."""
    found: dict[str, Blackbox] = {}
    for group in overlay.lanes:
        if group.cell == "dsp pair":
            name = dsp_pair_name(overlay.board_description.dsp_block)
            function = BLACKBOX_PREFIX + verilog_name(name)
            found[name] = Blackbox(function, (name,), ("exact_pair",), pair=True)
            continue
        bank = [multiplier(spec) for spec in group.bank]
        cells = [bank] if group.cell == "configurable" and len(bank) > 1 else [[m] for m in bank]
        for cell in cells:
            name = "_or_".join(module_name(m) for m in cell)
            prefix = "configurable_" if len(cell) > 1 else ""
            types = tuple(cpp_type(m) for m in cell)
            bits = (len(cell) - 1).bit_length()
            specs = tuple(m.spec for m in cell)
            found[name] = Blackbox(f"{BLACKBOX_PREFIX}{prefix}{name}", specs, types, bits)
    return list(found.values())


def blackboxes_header(overlay: Overlay) -> str:
    """The C++ that calls netlists in place of functors."""
    return render(
        "blackboxes.hpp.j2",
        overlay=overlay,
        blackboxes=overlay_blackboxes(overlay),
        tables=sorted(table_headers(m for bank in overlay.banks for m in bank)),
    )


def overlay_tcl(overlay: Overlay) -> str:
    """The constants of the Vitis HLS and Vivado scripts."""
    board = overlay.board_description
    ps = board.processing_system
    return render(
        "overlay.tcl.j2",
        overlay=overlay,
        board=board,
        ps=ps,
        vlnv=VLNV,
        pointers=_POINTERS,
        ports=[ps.memory_ports[pointer] for pointer in _POINTERS],
        configuration=ps.configuration(overlay.clock_mhz, overlay.port_bits),
        address="0x{:08X}".format,
        blackboxes=overlay_blackboxes(overlay),
    )


def registers_json(overlay: Overlay) -> str:
    """The register map."""
    content = {"overlay": overlay.name, "registers": [asdict(r) for r in register_map()]}
    return json.dumps(content, indent=1) + "\n"


def hardware_handoff(overlay: Overlay) -> str:
    """The ``.hwh`` of the software board: what pynq reads about the design."""
    board = overlay.board_description
    return render(
        "overlay.hwh.j2",
        overlay=overlay,
        board=board,
        ps=board.processing_system,
        vlnv=VLNV,
        core=TOP_FUNCTION,
        registers=register_map(),
        pointers=_POINTERS,
        memory_bytes=SOFTWARE_MEMORY_BYTES,
        address="0x{:08X}".format,
    )


def cpp_type(m: Multiplier) -> str:
    """The C++ functor of a multiplier."""
    if isinstance(m, Roup):
        return f"roup<{', '.join(map(str, (m.perforation, *m.rounding)))}>"
    if isinstance(m, SMApprox):
        return f"smapprox<{', '.join(m.digits)}>"
    if isinstance(m, Table):
        return module_name(m)
    assert isinstance(m, Exact)
    return "exact"
