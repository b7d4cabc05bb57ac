"""`xception serve-key`"""

from xception.cli.output import print_line, say
from xception.serve.keys import new_key


def serve_key(name: str, /) -> None:
    """Make a key for a client of a server, and the line for the file of --api-keys, which holds only its hash.

    ```
    xception serve-key ward-3 >> keys.txt
    ```

    Args:
        name: Name of the key, which the log shows.
    """
    key, line = new_key(name)
    print_line(line)
    say(f"the key, which is shown this once: {key}")
