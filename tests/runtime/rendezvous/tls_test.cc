// The control connection with TLS, with a certificate that the test makes.
#include <gmock/gmock.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "runtime/rendezvous/address.h"
#include "tests/runtime/rendezvous/job_fixture.h"

namespace millrace {
namespace {

// A self-signed certificate for `name`, good for a day.
TlsFiles MakeCertificate(const std::string& folder, const std::string& name) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME* const subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(certificate, subject);
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  for (const auto& [kind, text] : {std::pair<int, std::string>{NID_subject_alt_name, absl::StrCat("DNS:", name)},
                                   {NID_basic_constraints, "critical,CA:TRUE"}}) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, text.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(certificate, key, EVP_sha256());
  const TlsFiles files{absl::StrCat(folder, "/", name, ".pem"), absl::StrCat(folder, "/", name, ".key"),
                       absl::StrCat(folder, "/", name, ".pem")};
  FILE* file = std::fopen(files.certificate.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(files.key.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

class TlsTest : public JobFixture {
 protected:
  void SetUp() override {
    right_ = MakeCertificate(::testing::TempDir(), "coordinator.test");
    wrong_ = MakeCertificate(::testing::TempDir(), "other.test");
  }
  RendezvousOptions RankByName(const std::string& name) {
    RendezvousOptions options = Rank(0);
    options.coordinator = absl::StrCat(name, ":", ParseHostPort(address_)->port);
    options.resolve = [](const std::string&) { return std::vector<std::string>{"127.0.0.1"}; };
    options.tls.authority = right_.authority;
    options.patience = absl::Seconds(3);
    return options;
  }
  // It is no matter of patience, and says which files to look at.
  static void ExpectDistrusted(const RendezvousOptions& options, const std::string& why) {
    const absl::Status refused = RendezvousClient::Join(options).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << why << ": " << refused;
    EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("--tls-certificate must be for")) << why;
  }
  TlsFiles right_, wrong_;
};

TEST_F(TlsTest, APlainCoordinatorIsNotTrusted) {
  Serve(1, nullptr);
  ExpectDistrusted(RankByName("coordinator.test"), "plain text");
}

TEST_F(TlsTest, RanksJoinBeyondLoopbackWithTheRightCertificateOnly) {
  Serve(1, [&](ServerOptions* options) {
    options->bind = "0.0.0.0:0";  // allowed, because it is encrypted
    options->tls = right_;
  });
  RendezvousOptions stranger = RankByName("coordinator.test");
  stranger.tls.authority = wrong_.authority;
  ExpectDistrusted(stranger, "another authority");
  ExpectDistrusted(RankByName("elsewhere.test"), "another name");
  RendezvousOptions plain = RankByName("coordinator.test");
  plain.tls = {};
  plain.insecure = true;
  EXPECT_FALSE(RendezvousClient::Join(plain).ok()) << "plain text to a TLS port";

  RendezvousOptions right = RankByName("coordinator.test");
  right.patience = absl::Seconds(20);
  JoinResult joined = RendezvousClient::Join(right);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_TRUE((*joined)->Leave().ok());
}

}  // namespace
}  // namespace millrace
