"""The folder of held mail: one Maildir per recipient below a root, readable by any mail client.

Everything here blocks and raises OSError. What `store` returned is on disk.
"""

from __future__ import annotations

from pathlib import Path

from gateway import maildir


class MaildirFolder:
    """The Maildirs below `root`, which are made as they are needed."""

    def __init__(self, root: Path) -> None:
        # Absolute: the paths go into the database, and a later command may run elsewhere.
        self.root = root.absolute()

    def store(self, recipient: str, content: bytes) -> Path:
        """Write one mail into the recipient's Maildir; returns its path."""
        return maildir.write(self.root / maildir.folder_name(recipient), content)

    def read(self, path: Path) -> bytes:
        """The octets stored at `path`, wherever a mail client has moved them within the Maildir.
        FileNotFoundError when they are gone."""
        return maildir.read(path)

    def remove(self, path: Path) -> None:
        """Delete the mail stored at `path`; one that is gone already is fine."""
        maildir.remove(path)
