import time, json
import pytest
from tests.e2e.lab import Bench
pytestmark = pytest.mark.real
@pytest.mark.timeout(120)
def test_smoke(bench):
    t=time.monotonic()
    def lap(w):
        nonlocal t
        n=time.monotonic(); print(f"{w}: {n-t:.2f}"); t=n
    life = bench.run_container(); lap("container")
    m = bench.start(); lap("start to calm")
    print(bench.actions(m), bench.incidents(m), bench.acts(m), bench.logins(m), bench.dials(m)); lap("witness")
    assert bench.usable(); lap("usable")


    print(bench.agent.footprint())
    assert bench.agent.end()==0; lap("end")
