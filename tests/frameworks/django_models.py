"""Django (docs.djangoproject.com, "Databases"): `migrate` as the owner, the ORM as the
application.
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.core.management import call_command


def _database(name: str) -> dict[str, object]:
    url = urlsplit(os.environ[name])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.removeprefix("/"),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": url.hostname,
        "PORT": url.port,
    }


def main() -> None:
    """Raises whatever does not work."""
    settings.configure(
        DATABASES={"default": _database("DATABASE_URL"), "owner": _database("DATABASE_OWNER_URL")},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    call_command("migrate", database="owner", verbosity=0, stdout=sys.stderr)
    from django.contrib.auth.models import Group

    Group.objects.create(name="editors")
    assert list(Group.objects.values_list("name", flat=True)) == ["editors"]
    Group.objects.filter(name="editors").delete()


if __name__ == "__main__":
    main()
