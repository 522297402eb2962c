"""mpirun over two hosts of this machine: the coordinator, which watches the ranks, goes over the network between them, so
it needs a certificate, or --insecure. mpirun reaches the second host as it would with ssh, by an agent that enters the
host's network namespace. Needs root, iproute2, mpirun and openssl; skipped by name without."""
import os
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/house'))
sys.path.insert(0, os.path.join(os.getcwd(), 'tests/launchers'))
import launched  # noqa: E402
import links  # noqa: E402
import xml_runner  # noqa: E402
from launched import runs  # noqa: E402

# Called as ssh is: a host, then a command line for its shell.
AGENT = '''#!/bin/sh
test "$1" = node1 || exit 1
shift
exec ip netns exec {space} unshare --uts sh -c "hostname node1 && $*"
'''
NETWORK = '10.77.0.0/24'


@unittest.skipUnless(shutil.which('mpirun'), 'mpirun is not installed: apt-get install openmpi-bin')
@unittest.skipUnless(shutil.which('openssl'), 'openssl is not installed: apt-get install openssl')
class MpiHosts(launched.LaunchCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, subject in (('good', 'DNS:node0'), ('other', 'DNS:elsewhere')):
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                            '-days', '2', '-subj', '/CN=millrace', '-addext', f'subjectAltName={subject}',
                            '-keyout', cls.at(f'{name}.key'), '-out', cls.at(f'{name}.crt')],
                           check=True, capture_output=True)

    def setUp(self):
        reason = links.why_not()
        if reason:
            self.skipTest(reason)
        self.hosts = links.TwoHosts()
        self.hosts.__enter__()
        self.addCleanup(self.hosts.__exit__)
        for side in range(2):
            self.hosts.add_names(side, [f'{self.hosts.address(other)} node{other}' for other in range(2)])
        self.agent = self.at('agent.sh')
        with open(self.agent, 'w', encoding='ascii') as file:
            file.write(AGENT.format(space=self.hosts.spaces[1]))
        os.chmod(self.agent, 0o755)

    def mpirun(self, ranks, train, **variables):
        """Half of the ranks on each host."""
        networks = [word for layer in ('btl_tcp', 'oob_tcp') for word in ('--mca', f'{layer}_if_include', NETWORK)]
        exported = [word for name in variables for word in ('-x', name)]
        command = ['mpirun', '--allow-run-as-root', '--mca', 'plm_rsh_agent', self.agent, *networks, *exported,
                   '--host', f'node0:{ranks // 2},node1:{ranks // 2}', '-np', str(ranks), runs.PROGRAM, *train]
        return self.start(self.hosts.named_command(0, 'node0', command), variables)

    def tls(self, name='good', authority='good'):
        return [f'--tls-certificate={self.at(name)}.crt', f'--tls-key={self.at(name)}.key',
                f'--tls-authority={self.at(authority)}.crt']

    def trains(self, out, ranks, *flags):
        self.finish([self.mpirun(ranks, self.train(out, ranks, '--comm=mpi', *flags))])
        self.assert_same_run(out, ranks)

    def refused(self, *flags, comm='mpi'):
        """What all ranks said; none of them trained, and the code is that of a wrong configuration or call."""
        process = self.mpirun(2, self.train('refused', 2, f'--comm={comm}', '--join-timeout=5', *flags))
        said, _ = process.communicate(timeout=120)
        self.assertIn(process.returncode, (2, 78), said)
        self.assertFalse(os.path.exists(self.at('refused/metrics.csv')), said)
        return said

    def test_with_certificates(self):
        for ranks in (2, 4):
            self.trains(f'tls{ranks}', ranks, *self.tls())

    def test_insecure_when_said(self):
        self.trains('insecure', 2, '--insecure')

    def test_a_name_that_only_the_first_host_knows(self):
        # As in pods: rank 0 gives its addresses too. The certificate is for the name.
        self.hosts.forget_names(1)
        self.trains('name', 2, *self.tls())

    def test_without_either_it_is_refused(self):
        for comm in ('mpi', 'gloo'):
            said = self.refused(f'--token-file={self.token()}', comm=comm)
            self.assertRegex(said, 'would not be encrypted: give .*or say --insecure')

    def test_certificates_that_do_not_fit(self):
        for pair, authority in (('good', 'other'), ('other', 'other')):
            said = self.refused(*self.tls(pair, authority))
            self.assertRegex(said, 'rank [01]: the coordinator at node0:[0-9]+ cannot be trusted: .*certificate')
            self.assertIn('--tls-certificate must be for node0', said)

    def test_files_that_are_missing(self):
        certificate, key, authority = self.tls()
        self.assertIn('--tls-certificate needs --tls-authority', self.refused(certificate, key))
        self.assertIn('--tls-certificate and --tls-key go together', self.refused(certificate, authority))
        # Only rank 0 needs them; all say what it lacks.
        self.assertRegex(self.refused(authority), 'give a TLS certificate and its key')

    def token(self):
        path = self.at('token')
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 'w', encoding='ascii') as file:
            file.write('0123456789abcdef' * 4)
        return path


if __name__ == '__main__':
    xml_runner.main()
