"""The Tidepool destination's table of the settings file. No secret stands here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class TidepoolSettings(BaseModel):
    """Where Tidepool is, as which application, and whose data. Linking fills `user_id` and `client_id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_url: str = "https://api.tidepool.org"
    issuer: str | None = None
    """Sign-in address; found through the API when left out."""
    client_id: str | None = None
    """Application id that Tidepool registered for this installation; there is none by default."""
    redirect_uri: str = "http://127.0.0.1:8788/callback"
    """Where the browser ends after signing in; must be registered together with the client id."""
    user_id: str | None = None
    """Whose data; the account's own when left out."""
    device_model: str | None = None
    """Pump model shown in reports, instead of the one the pump reported. Only some models get automated-mode
    statistics there."""
    client_name: str = Field(default="org.glucobridge", pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")
    """Reverse-DNS name under which the data set is found again."""

    @field_validator("api_url", "issuer")
    @classmethod
    def _no_trailing_slash(cls, url: str | None) -> str | None:
        return None if url is None else url.rstrip("/")
