"""Options that decide which presentation contexts are proposed or accepted.

The transfer syntaxes behind each choice stand in ``policy/negotiation.py``.
"""

from __future__ import annotations

from dcmfast.options.option import Option, Text

# ---- What an acceptor prefers

PREFER_UNCOMPR = Option(
    field="preference",
    names=("--prefer-uncompr", "+x="),
    summary="prefer explicit VR local byte order (default)",
    choice="uncompr",
    default=True,
)
PREFER_LITTLE = Option(
    field="preference",
    names=("--prefer-little", "+xe"),
    summary="prefer explicit VR little endian TS",
    choice="little",
)
PREFER_BIG = Option(
    field="preference",
    names=("--prefer-big", "+xb"),
    summary="prefer explicit VR big endian TS",
    choice="big",
)
PREFER_LOSSLESS = Option(
    field="preference",
    names=("--prefer-lossless", "+xs"),
    summary="prefer default JPEG lossless TS",
    choice="lossless",
)
PREFER_JPEG8 = Option(
    field="preference",
    names=("--prefer-jpeg8", "+xy"),
    summary="prefer default JPEG lossy TS for 8 bit data",
    choice="jpeg8",
)
PREFER_JPEG12 = Option(
    field="preference",
    names=("--prefer-jpeg12", "+xx"),
    summary="prefer default JPEG lossy TS for 12 bit data",
    choice="jpeg12",
)
PREFER_J2K_LOSSLESS = Option(
    field="preference",
    names=("--prefer-j2k-lossless", "+xv"),
    summary="prefer JPEG 2000 lossless TS",
    choice="j2k-lossless",
)
PREFER_J2K_LOSSY = Option(
    field="preference",
    names=("--prefer-j2k-lossy", "+xw"),
    summary="prefer JPEG 2000 lossy TS",
    choice="j2k-lossy",
)
PREFER_JLS_LOSSLESS = Option(
    field="preference",
    names=("--prefer-jls-lossless", "+xt"),
    summary="prefer JPEG-LS lossless TS",
    choice="jls-lossless",
)
PREFER_JLS_LOSSY = Option(
    field="preference",
    names=("--prefer-jls-lossy", "+xu"),
    summary="prefer JPEG-LS lossy TS",
    choice="jls-lossy",
)
PREFER_MPEG2 = Option(
    field="preference",
    names=("--prefer-mpeg2", "+xm"),
    summary="prefer MPEG2 Main Profile @ Main Level TS",
    choice="mpeg2",
)
PREFER_MPEG2_HIGH = Option(
    field="preference",
    names=("--prefer-mpeg2-high", "+xh"),
    summary="prefer MPEG2 Main Profile @ High Level TS",
    choice="mpeg2-high",
)
PREFER_MPEG4 = Option(
    field="preference",
    names=("--prefer-mpeg4", "+xn"),
    summary="prefer MPEG4 AVC/H.264 HP / Level 4.1 TS",
    choice="mpeg4",
)
PREFER_MPEG4_BD = Option(
    field="preference",
    names=("--prefer-mpeg4-bd", "+xl"),
    summary="prefer MPEG4 AVC/H.264 BD-compatible TS",
    choice="mpeg4-bd",
)
PREFER_MPEG4_2_2D = Option(
    field="preference",
    names=("--prefer-mpeg4-2-2d", "+x2"),
    summary="prefer MPEG4 AVC/H.264 HP / Level 4.2 TS (2D)",
    choice="mpeg4-2-2d",
)
PREFER_MPEG4_2_3D = Option(
    field="preference",
    names=("--prefer-mpeg4-2-3d", "+x3"),
    summary="prefer MPEG4 AVC/H.264 HP / Level 4.2 TS (3D)",
    choice="mpeg4-2-3d",
)
PREFER_MPEG4_2_ST = Option(
    field="preference",
    names=("--prefer-mpeg4-2-st", "+xo"),
    summary="prefer MPEG4 AVC/H.264 Stereo HP / Level 4.2 TS",
    choice="mpeg4-2-st",
)
PREFER_HEVC = Option(
    field="preference",
    names=("--prefer-hevc", "+x4"),
    summary="prefer HEVC/H.265 Main Profile / Level 5.1 TS",
    choice="hevc",
)
PREFER_HEVC10 = Option(
    field="preference",
    names=("--prefer-hevc10", "+x5"),
    summary="prefer HEVC/H.265 Main 10 Profile / Level 5.1 TS",
    choice="hevc10",
)
PREFER_RLE = Option(
    field="preference",
    names=("--prefer-rle", "+xr"),
    summary="prefer RLE lossless TS",
    choice="rle",
)
PREFER_DEFLATED = Option(
    field="preference",
    names=("--prefer-deflated", "+xd"),
    summary="prefer deflated expl. VR little endian TS",
    choice="deflated",
)
IMPLICIT = Option(
    field="preference",
    names=("--implicit", "+xi"),
    summary="accept implicit VR little endian TS only",
    choice="implicit",
)
ACCEPT_ALL = Option(
    field="preference",
    names=("--accept-all", "+xa"),
    summary="accept all supported transfer syntaxes",
    choice="accept-all",
)

#: All of them, in the order of the usage text.
PREFERENCES = (
    PREFER_UNCOMPR,
    PREFER_LITTLE,
    PREFER_BIG,
    PREFER_LOSSLESS,
    PREFER_JPEG8,
    PREFER_JPEG12,
    PREFER_J2K_LOSSLESS,
    PREFER_J2K_LOSSY,
    PREFER_JLS_LOSSLESS,
    PREFER_JLS_LOSSY,
    PREFER_MPEG2,
    PREFER_MPEG2_HIGH,
    PREFER_MPEG4,
    PREFER_MPEG4_BD,
    PREFER_MPEG4_2_2D,
    PREFER_MPEG4_2_3D,
    PREFER_MPEG4_2_ST,
    PREFER_HEVC,
    PREFER_HEVC10,
    PREFER_RLE,
    PREFER_DEFLATED,
    IMPLICIT,
    ACCEPT_ALL,
)

# ---- What a requestor proposes

PROPOSE_UNCOMPR = Option(
    field="proposal",
    names=("--propose-uncompr", "-x="),
    summary="propose all uncompressed TS, explicit VR\nwith local byte ordering first (default)",
    choice="uncompr",
    default=True,
)
PROPOSE_LITTLE = Option(
    field="proposal",
    names=("--propose-little", "-xe"),
    summary="propose all uncompressed TS, explicit VR\nlittle endian first",
    choice="little",
)
PROPOSE_BIG = Option(
    field="proposal",
    names=("--propose-big", "-xb"),
    summary="propose all uncompressed TS, explicit VR\nbig endian first",
    choice="big",
)
PROPOSE_IMPLICIT = Option(
    field="proposal",
    names=("--propose-implicit", "-xi"),
    summary="propose implicit VR little endian TS only",
    choice="implicit",
)
PROPOSE_LOSSLESS = Option(
    field="proposal",
    names=("--propose-lossless", "-xs"),
    summary="propose default JPEG lossless TS\nand all uncompressed transfer syntaxes",
    choice="lossless",
)
PROPOSE_JPEG8 = Option(
    field="proposal",
    names=("--propose-jpeg8", "-xy"),
    summary=(
        "propose default JPEG lossy TS for 8 bit data\nand all uncompressed transfer syntaxes"
    ),
    choice="jpeg8",
)
PROPOSE_JPEG12 = Option(
    field="proposal",
    names=("--propose-jpeg12", "-xx"),
    summary=(
        "propose default JPEG lossy TS for 12 bit data\nand all uncompressed transfer syntaxes"
    ),
    choice="jpeg12",
)
PROPOSE_J2K_LOSSLESS = Option(
    field="proposal",
    names=("--propose-j2k-lossless", "-xv"),
    summary="propose JPEG 2000 lossless TS\nand all uncompressed transfer syntaxes",
    choice="j2k-lossless",
)
PROPOSE_J2K_LOSSY = Option(
    field="proposal",
    names=("--propose-j2k-lossy", "-xw"),
    summary="propose JPEG 2000 lossy TS\nand all uncompressed transfer syntaxes",
    choice="j2k-lossy",
)
PROPOSE_JLS_LOSSLESS = Option(
    field="proposal",
    names=("--propose-jls-lossless", "-xt"),
    summary="propose JPEG-LS lossless TS\nand all uncompressed transfer syntaxes",
    choice="jls-lossless",
)
PROPOSE_JLS_LOSSY = Option(
    field="proposal",
    names=("--propose-jls-lossy", "-xu"),
    summary="propose JPEG-LS lossy TS\nand all uncompressed transfer syntaxes",
    choice="jls-lossy",
)
PROPOSE_MPEG2 = Option(
    field="proposal",
    names=("--propose-mpeg2", "-xm"),
    summary="propose MPEG2 Main Profile @ Main Level TS",
    choice="mpeg2",
)
PROPOSE_MPEG2_HIGH = Option(
    field="proposal",
    names=("--propose-mpeg2-high", "-xh"),
    summary="propose MPEG2 Main Profile @ High Level TS",
    choice="mpeg2-high",
)
PROPOSE_MPEG4 = Option(
    field="proposal",
    names=("--propose-mpeg4", "-xn"),
    summary="propose MPEG4 AVC/H.264 HP / Level 4.1 TS",
    choice="mpeg4",
)
PROPOSE_MPEG4_BD = Option(
    field="proposal",
    names=("--propose-mpeg4-bd", "-xl"),
    summary="propose MPEG4 AVC/H.264 BD-compatible TS",
    choice="mpeg4-bd",
)
PROPOSE_MPEG4_2_2D = Option(
    field="proposal",
    names=("--propose-mpeg4-2-2d", "-x2"),
    summary="propose MPEG4 AVC/H.264 HP / Level 4.2 TS (2D)",
    choice="mpeg4-2-2d",
)
PROPOSE_MPEG4_2_3D = Option(
    field="proposal",
    names=("--propose-mpeg4-2-3d", "-x3"),
    summary="propose MPEG4 AVC/H.264 HP / Level 4.2 TS (3D)",
    choice="mpeg4-2-3d",
)
PROPOSE_MPEG4_2_ST = Option(
    field="proposal",
    names=("--propose-mpeg4-2-st", "-xo"),
    summary="propose MPEG4 AVC/H.264 Stereo / Level 4.2 TS",
    choice="mpeg4-2-st",
)
PROPOSE_HEVC = Option(
    field="proposal",
    names=("--propose-hevc", "-x4"),
    summary="propose HEVC/H.265 Main Profile / Level 5.1 TS",
    choice="hevc",
)
PROPOSE_HEVC10 = Option(
    field="proposal",
    names=("--propose-hevc10", "-x5"),
    summary="propose HEVC/H.265 Main 10 Profile / Level 5.1 TS",
    choice="hevc10",
)
PROPOSE_RLE = Option(
    field="proposal",
    names=("--propose-rle", "-xr"),
    summary="propose RLE lossless TS\nand all uncompressed transfer syntaxes",
    choice="rle",
)
PROPOSE_DEFLATED = Option(
    field="proposal",
    names=("--propose-deflated", "-xd"),
    summary="propose deflated expl. VR little endian TS\nand all uncompressed transfer syntaxes",
    choice="deflated",
)

#: All of them, in the order of the usage text.
PROPOSALS = (
    PROPOSE_UNCOMPR,
    PROPOSE_LITTLE,
    PROPOSE_BIG,
    PROPOSE_IMPLICIT,
    PROPOSE_LOSSLESS,
    PROPOSE_JPEG8,
    PROPOSE_JPEG12,
    PROPOSE_J2K_LOSSLESS,
    PROPOSE_J2K_LOSSY,
    PROPOSE_JLS_LOSSLESS,
    PROPOSE_JLS_LOSSY,
    PROPOSE_MPEG2,
    PROPOSE_MPEG2_HIGH,
    PROPOSE_MPEG4,
    PROPOSE_MPEG4_BD,
    PROPOSE_MPEG4_2_2D,
    PROPOSE_MPEG4_2_3D,
    PROPOSE_MPEG4_2_ST,
    PROPOSE_HEVC,
    PROPOSE_HEVC10,
    PROPOSE_RLE,
    PROPOSE_DEFLATED,
)

REQUIRED = Option(
    field="required",
    names=("--required", "-R"),
    summary="propose only required presentation contexts\n(default: propose all supported)",
)
COMBINE = Option(
    field="combine",
    names=("--combine", "+C"),
    summary="combine proposed transfer syntaxes\n(default: separate pres. context for each TS)",
)

# ---- Profiles

CONFIG_FILE = Option(
    field="profile",
    names=("--config-file", "-xf"),
    summary="[f]ilename, [p]rofile: string\nuse profile p from config file f",
    values=(Text(), Text()),
)

#: Choices of what is accepted that put no compressed syntax first, or none that changes pixels.
_WITHOUT_COMPRESSION = (
    *("--prefer-uncompr", "--prefer-little", "--prefer-big", "--implicit"),
    *("--prefer-deflated", "--accept-all"),
)


def compressed(preferences: tuple[Option, ...]) -> tuple[str, ...]:
    """Return the long names of those preferences with which compressed objects come."""
    return tuple(one.long for one in preferences if one.long not in _WITHOUT_COMPRESSION)
