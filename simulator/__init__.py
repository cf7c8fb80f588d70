"""A seeded fleet that drives through a city and publishes over MQTT."""
