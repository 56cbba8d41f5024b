"""Swagger UI at /docs, without a network."""

import re

from pipeline.serving import swagger


def test_the_page_and_all_it_loads_are_served_here(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert set(loaded) == {"data:,", "/docs/start.js", *(f"/docs/{name}" for name in swagger.FILES)}
    for path in loaded[1:]:
        response = client.get(path)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/css" if path.endswith("css") else "text/javascript")
    assert "/openapi.json" in client.get("/docs/start.js").text
    # The browser itself would fetch nothing from elsewhere.
    assert "://" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_installed_bundle_has_what_the_page_calls(client):
    bundle = client.get("/docs/swagger-ui-bundle.js").text
    assert "SwaggerUIBundle" in bundle
    assert len(bundle) > 500_000
