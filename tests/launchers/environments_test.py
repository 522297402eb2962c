"""Exact environments of launchers on one machine: Horovod, Kubeflow, TF_CONFIG, Cloud TPU's metadata, a Ray-like script.

Each starts the processes as that launcher would, with nothing of ours in their environment.
"""
import http.server
import json
import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/launchers'))
import launched  # noqa: E402
import xml_runner  # noqa: E402
from launched import jobs, runs  # noqa: E402


class Metadata(http.server.BaseHTTPRequestHandler):
    """Cloud TPU's metadata server, for one host of two on this machine."""
    worker = 0

    def do_GET(self):
        answers = {'agent-worker-number': str(self.worker),
                   'worker-network-endpoints': 'unknown:unknown:127.0.0.1,unknown:unknown:127.0.0.2'}
        name = self.path.rsplit('/', 1)[1]
        good = self.headers.get('Metadata-Flavor') == 'Google' and name in answers
        self.send_response(200 if good else 404)
        self.end_headers()
        if good:
            self.wfile.write(answers[name].encode())

    def log_message(self, *_):
        pass


class Environments(launched.LaunchCase):
    def run_with(self, out, ranks, environments, *more):
        said = self.finish([self.start([runs.PROGRAM, *self.train(out, ranks, *more)], environment)
                            for environment in environments])
        self.assert_same_run(out, ranks)
        return said

    def test_horovodrun(self):
        port = str(jobs.free_port())
        self.run_with('horovod', 2, [
            {'HOROVOD_RANK': str(rank), 'HOROVOD_SIZE': '2', 'HOROVOD_LOCAL_RANK': str(rank),
             'HOROVOD_LOCAL_SIZE': '2', 'HOROVOD_CROSS_RANK': '0', 'HOROVOD_CROSS_SIZE': '1',
             'HOROVOD_GLOO_RENDEZVOUS_ADDR': '127.0.0.1', 'HOROVOD_GLOO_RENDEZVOUS_PORT': port,
             'HOROVOD_GLOO_IFACE': 'lo', 'HOROVOD_CONTROLLER': 'gloo', 'HOROVOD_CPU_OPERATIONS': 'gloo'}
            for rank in range(2)])

    def kubeflow(self, out, ranks, per_node):
        # As Trainer v2 sets them (torch.go), but for the port, which may be in use on a shared machine.
        port = str(jobs.free_port())
        self.run_with(out, ranks, [
            {'PET_NNODES': '2', 'PET_NPROC_PER_NODE': str(per_node), 'PET_NODE_RANK': str(node),
             'PET_MASTER_ADDR': 'localhost', 'PET_MASTER_PORT': port} for node in range(2)])

    def test_kubeflow_two_nodes_of_one(self):
        self.kubeflow('kubeflow2x1', 2, 1)

    def test_kubeflow_two_nodes_of_two(self):
        self.kubeflow('kubeflow2x2', 4, 2)

    def test_tf_config(self):
        port = jobs.free_port()
        workers = [f'127.0.0.1:{port}', f'127.0.0.1:{port + 1}']
        self.run_with('tf', 2, [{'TF_CONFIG': json.dumps({'cluster': {'worker': workers},
                                                         'task': {'type': 'worker', 'index': index}})}
                                for index in range(2)])

    def test_cloud_tpu_metadata(self):
        environments = []
        for worker in range(2):
            handler = type('Handler', (Metadata,), {'worker': worker})
            server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
            environments.append({'GCE_METADATA_IP': f'127.0.0.1:{server.server_port}'})
        self.run_with('tpu', 2, environments)

    def test_a_script_like_rays(self):
        # What a Ray actor does: an environment, a subprocess; the actors come up seconds apart, in any order.
        script = ('import os, subprocess, sys, time\n'
                  'rank = int(sys.argv[1])\n'
                  'time.sleep(0 if rank == 1 else 5)\n'
                  'sys.exit(subprocess.run(sys.argv[2:], env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", '
                  '"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2", "NODE_RANK": "0"}).returncode)\n')
        port = str(jobs.free_port())
        begun = time.monotonic()
        self.finish([self.start([sys.executable, '-c', script, str(rank), runs.PROGRAM, *self.train('ray', 2)],
                                {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}) for rank in range(2)])
        self.assertGreater(time.monotonic() - begun, 5)
        self.assert_same_run('ray', 2)


if __name__ == '__main__':
    xml_runner.main()
