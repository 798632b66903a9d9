"""Every vendor's data can be used as it stands."""

from __future__ import annotations

import pytest
from genai_prices.data import providers

from naiad.adapters.endpoint import Endpoint, parse_url
from naiad.adapters.profiles import PROFILES


@pytest.mark.parametrize("kind", sorted(PROFILES))
def test_a_profile_has_an_address_a_format_and_prices_that_exist(kind: str) -> None:
    profile = PROFILES[kind]
    url = profile.base_url or "https://example.org"
    endpoint = Endpoint("e", parse_url(url, private=profile.private), private=profile.private)
    assert repr(profile.wire(endpoint)) == repr(profile.wire(endpoint))
    assert not profile.listed_as or profile.listed_as in {provider.id for provider in providers}
    assert profile.key_env == profile.key_env.upper()


def test_an_api_version_that_a_vendor_does_not_have_is_refused() -> None:
    place = parse_url(PROFILES["anthropic"].base_url, private=False)
    assert "2023-06-01" in repr(PROFILES["anthropic"].wire(Endpoint("e", place, api_version="2023-06-01")))
    with pytest.raises(ValueError, match="'v1' is no version"):
        PROFILES["anthropic"].wire(Endpoint("e", place, api_version="v1"))
