"""The service's database: SQLite embedded, PostgreSQL or MariaDB for the rest. Nothing else knows SQL."""
