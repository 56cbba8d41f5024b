"""What this machine's processor computes in."""

from pathlib import Path

BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""The instructions for bfloat16, by the names that Linux has for them."""


def bfloat16() -> list[str]:
    """Those of `BFLOAT16` that the processor has; none where the system does not tell, as only Linux does."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return [flag for flag in BFLOAT16 if flag in flags]
