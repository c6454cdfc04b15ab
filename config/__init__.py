"""What the user adjusts. Imports nothing of ours; everything else imports from here."""

from config.load import ConfigError, Fault, load
from config.settings import Profile, Settings

__all__ = ["ConfigError", "Fault", "Profile", "Settings", "load"]
