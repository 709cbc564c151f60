"""Settings of the transport `http`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bridge.uploader.places import checked, is_medtronic, name_of


class HttpSettings(BaseModel):
    """A server that speaks contract clu-1, and the name of the account there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upload_base_url: str
    """Base address, https unless on this machine; `/v1/...` is added."""
    account: str | None = Field(default=None, min_length=1, max_length=200)
    """The account's name at the server; the profile's id when left out."""
    targets_medtronic: bool = False
    """Only for an endpoint that Medtronic itself gave the right to use: what is sent elsewhere is not CareLink."""
    min_interval_s: float = Field(default=300.0, ge=60.0)
    issuer: str | None = None
    """Where the server's users sign in (OAuth); left out where its operator hands out tokens."""
    client_id: str | None = None
    """This installation's client id at the issuer."""
    redirect_uri: str = "http://127.0.0.1:8788/callback"

    @field_validator("upload_base_url", "issuer")
    @classmethod
    def _safe(cls, url: str | None) -> str | None:
        return None if url is None else checked(url)

    @model_validator(mode="after")
    def _honest(self) -> HttpSettings:
        if (self.issuer is None) is not (self.client_id is None):
            raise ValueError("`issuer` and `client_id` belong together")
        if self.targets_medtronic and not is_medtronic(self.upload_base_url):
            raise ValueError("`targets_medtronic` fits only an address under minimed.com or minimed.eu")
        if is_medtronic(self.upload_base_url) and not self.targets_medtronic:
            raise ValueError("Medtronic offers no upload address: set `targets_medtronic` only if it gave you one")
        return self

    @property
    def where(self) -> str:
        """How the server is called in sentences; never CareLink where it is not."""
        return "CareLink" if self.targets_medtronic else f"The server {name_of(self.upload_base_url)}"
