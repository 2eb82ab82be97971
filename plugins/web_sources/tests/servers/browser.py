"""A browser for sign-ins: `BROWSER="python browser.py %s"` follows the redirects, no more."""

import sys
import urllib.request

if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1], timeout=30) as page:
        page.read()
