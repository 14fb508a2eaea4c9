"""Commands of the system, run to their end."""
import subprocess


class LabError(Exception):
    pass


def sh(*argv, ns=None, inp=None, check=True):
    if ns:
        argv = ("nsenter", f"--net=/run/netns/{ns}", "--") + argv
    r = subprocess.run(argv, input=inp, text=True, capture_output=True)
    if check and r.returncode:
        raise LabError(f"{' '.join(argv)}: rc={r.returncode} {r.stderr.strip()} {inp or ''}")
    return r.stdout
