"""Takes the screenshots of README and tutorial anew: `make screenshots`.

A real server in demo mode, a real Chromium, the page as it is: nothing is drawn by hand. Needs what
`make node` installs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "docs" / "screenshots.mjs"
SETTINGS = {
    "ANTIPHON_OFFLINE": "1",
    "ANTIPHON_SIM_TOKENS_PER_S": "60",
    "ANTIPHON_SIM_SEED": "7",
}


def main() -> None:
    """Run a server on a free port, and the script against it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no chromium: install it")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "server", "serve", "--demo", "--port", "0"]
        environ = {name: value for name, value in os.environ.items() if "_API_KEY" not in name}
        with subprocess.Popen(
            [*command, "--data", folder],
            cwd=ROOT,
            env={**environ, **SETTINGS},
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().split()[-1]
                subprocess.run(
                    ["node", str(SCRIPT), url, str(ROOT / "docs" / "screenshots")],
                    env={**os.environ, "CHROMIUM": chromium},
                    check=True,
                )
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
