DROP TABLE api_key_sources;
DROP TABLE api_keys;
